"""Errors that mailer raises; their text is meant for staff."""


class MailerError(Exception):
    """Base of every error below: what happened, to what, and what to do."""


class NotPossible(MailerError):
    """The thing is in a state in which this cannot be done; nothing was changed."""


class NothingToSend(MailerError):
    """A mailing cannot start: it lacks a message, a relay or a list."""


class ImportRefused(MailerError):
    """A recipient file cannot be read; nothing was changed."""
