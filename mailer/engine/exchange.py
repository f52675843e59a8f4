"""One command and its reply, with what may come instead turned into a Conversation."""

from __future__ import annotations

import smtplib

from mailer.engine.conversation import Break, Conversation, Stage, parse_reply
from mailer.engine.wire import GarbageReply, Wire


class EndedError(Exception):
    """The conversation is over; carries where and how. Never leaves the SMTP modules."""

    def __init__(self, conversation: Conversation) -> None:
        super().__init__(conversation.stage)
        self.conversation = conversation


def ask(wire: Wire, stage: Stage, command: str | None, *, expected: int = 2) -> Conversation:
    """Send a command, if any, and read its reply.

    Raises EndedError unless the reply's first digit is `expected`.
    """
    if command is not None:
        send(wire, stage, command.encode() + b"\r\n")
    try:
        code, text = wire.getreply()
    except (OSError, smtplib.SMTPException) as error:
        raise broken(stage, error) from error
    return expect(stage, code, text, expected)


def hear(
    wire: Wire, stage: Stage, command: bytes | None = None, *, hoped: int = 2
) -> Conversation | None:
    """As ask(), but None where the reply's first digit is `hoped`, else how it ended."""
    try:
        if command is not None:
            send(wire, stage, command)
        code, text = wire.getreply()
        if code // 100 == hoped:
            return None
        expect(stage, code, text, hoped)
    except EndedError as ended:
        return ended.conversation
    except (OSError, smtplib.SMTPException) as error:
        return broken(stage, error).conversation
    return None


def conclude(wire: Wire, stage: Stage) -> Conversation:
    """The reply, good or bad, or how the connection broke."""
    try:
        return ask(wire, stage, None)
    except EndedError as ended:
        return ended.conversation


def unasked(wire: Wire, stage: Stage) -> Conversation:
    """What the relay says though it was not its turn: a refusal, or a break."""
    said = conclude(wire, stage)
    if said.reply and said.reply.code < 400:
        return broken(stage, GarbageReply("a reply before the end of the message")).conversation
    return said


def send(wire: Wire, stage: Stage, data: bytes) -> None:
    """Write all of it. Raises EndedError."""
    try:
        wire.send(data)
    except OSError as error:
        raise broken(stage, error) from error


def expect(stage: Stage, code: int, text: bytes, expected: int) -> Conversation:
    """The reply as a Conversation. Raises EndedError for a refusal or one that does not fit."""
    reply = parse_reply(code, text)
    if code // 100 == expected:
        return Conversation(stage, reply)
    if code // 100 in (4, 5):
        raise EndedError(Conversation(stage, reply))
    raise broken(stage, GarbageReply(f"a reply that does not fit: {code} {reply.text[:80]}"))


def broken(stage: Stage, error: Exception) -> EndedError:
    """The end of a conversation that has no reply."""
    if isinstance(error, TimeoutError):
        kind = Break.TIMED_OUT
    elif isinstance(error, GarbageReply):
        kind = Break.GARBAGE
    else:
        kind = Break.LOST
    return EndedError(Conversation(stage, None, kind, str(error) or type(error).__name__))


def unusable(stage: Stage, reason: str) -> EndedError:
    """The end of a conversation with a relay that lacks what the settings ask for."""
    return EndedError(Conversation(stage, None, Break.UNUSABLE, reason))
