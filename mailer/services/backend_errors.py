"""What a Django e-mail backend raised or returned, as the ending of a message (decision 14).

Only what proves a refusal is one. Classes of django-anymail are known by their names, so it need
not be installed.
"""

import smtplib
import ssl
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from mailer.engine.conversation import Break, Conversation, Stage, parse_reply
from mailer.engine.ending import Ending, ending_of
from mailer.engine.verdict import Outcome, Verdict

_SENT = Verdict(Outcome.SENT)
_FAILED = Verdict(Outcome.FAILED)
_UNCERTAIN = Verdict(Outcome.UNCERTAIN)
_DEFERRED = Verdict(Outcome.DEFERRED)
_DEFERRED_PAUSE = Verdict(Outcome.DEFERRED, relay="pause")
_UNTRIED_PAUSE = Verdict(Outcome.UNTRIED, relay="pause")
_UNTRIED_HOLD = Verdict(Outcome.UNTRIED, relay="hold")

# Of the account or the settings, not of a message: key, credit, rights, address of the service.
_OF_THE_SITE = frozenset({401, 402, 403, 404, 405, 407})

_ANYMAIL = "anymail.exceptions."
# Raised before a request is made, about the site's settings or about this message.
_NOT_POSSIBLE_HERE = frozenset({_ANYMAIL + "AnymailUnsupportedFeature"})
_NOT_WRITABLE = frozenset(
    {_ANYMAIL + "AnymailSerializationError", _ANYMAIL + "AnymailInvalidAddress"}
)
_API_ERROR = frozenset({_ANYMAIL + "AnymailAPIError"})
_NOT_CONNECTED = frozenset(
    {"urllib3.exceptions.NewConnectionError", "urllib3.exceptions.ConnectTimeoutError"}
)
_ACCEPTED: Set[str | None] = frozenset({"sent", "queued"})
_REFUSED: Set[str | None] = frozenset({"rejected", "invalid", "failed"})


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What django-anymail notes of a message's recipients, {None} before the service answered."""

    words: frozenset[str | None]
    message_id: str = ""


def status_of(mail: object) -> ServiceStatus | None:
    """What a backend has noted at a message it was given; None where it notes nothing."""
    status: Any = getattr(mail, "anymail_status", None)
    if status is None:
        return None
    return ServiceStatus(frozenset(status.status or {None}), str(status.message_id or ""))


def read_construction(error: Exception) -> Ending:
    """Of what came of making a backend from the settings: a mistake there."""
    return _of_error(_UNTRIED_HOLD, error)


def read_opening(error: Exception) -> Ending:
    """Of what came of opening a connection: nothing has left, no recipient is to blame."""
    if isinstance(error, ImproperlyConfigured):
        return _of_error(_UNTRIED_HOLD, error)
    conversation = _read_reply(error)
    if conversation is not None and conversation.stage in {Stage.CONNECT, Stage.AUTH}:
        return ending_of(conversation)
    stage = Stage.TLS if isinstance(error, ssl.SSLError) else Stage.CONNECT
    broken = Break.LOST
    if isinstance(error, TimeoutError):
        broken = Break.TIMED_OUT
    elif isinstance(error, smtplib.SMTPNotSupportedError):
        broken = Break.UNUSABLE
    return ending_of(Conversation(stage, broken=broken, detail=_words(error)))


def read_returned(returned: object, status: ServiceStatus | None) -> Ending:
    """Of what send_messages returned for one message."""
    if ending := _read_status(status):
        return ending
    if returned == 1 and status is None:
        return Ending(_SENT, "", "")
    label = f"the backend returned {returned!r}"
    if returned == 1 and status is not None:
        label = f"status {_in_words(status)}"
    return Ending(_UNCERTAIN, label, label, broke=True)


def read_raised(error: Exception, status: ServiceStatus | None) -> Ending:
    """Of what was raised while one message was being sent.

    What the service has said of the recipient counts, whatever was raised after it.
    """
    if ending := _read_status(status):
        return ending
    if conversation := _read_reply(error):
        return ending_of(conversation)
    names = _names(error)
    if isinstance(error, ImproperlyConfigured) or names & _NOT_POSSIBLE_HERE:
        return _of_error(_UNTRIED_HOLD, error)
    if names & _NOT_WRITABLE:
        return _of_error(_FAILED, error)
    if names & _API_ERROR and (ending := _read_api_error(error)):
        return ending
    label = f"{type(error).__name__} while sending"
    return Ending(_UNCERTAIN, label, _words(error), broke=True)


def _read_reply(error: Exception) -> Conversation | None:  # noqa: PLR0911 (one a row)
    """The SMTP reply that smtplib raised, where it is known what it was a reply to."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            replies = list(error.recipients.values())  # of one recipient
            return _replied(Stage.RCPT, *replies[0]) if len(replies) == 1 else None
        case smtplib.SMTPSenderRefused():
            return _replied(Stage.MAIL, error.smtp_code, error.smtp_error)
        case smtplib.SMTPAuthenticationError():
            return _replied(Stage.AUTH, error.smtp_code, error.smtp_error)
        case smtplib.SMTPConnectError() | smtplib.SMTPHeloError():
            return _replied(Stage.CONNECT, error.smtp_code, error.smtp_error)
        case smtplib.SMTPDataError() if error.smtp_code == 250:
            # smtplib takes a 250 after the dot, so this was one to DATA: none that fits.
            return Conversation(Stage.DOT, broken=Break.GARBAGE, detail=_words(error))
        case smtplib.SMTPDataError():
            return _replied(Stage.DOT, error.smtp_code, error.smtp_error)  # or to DATA
    return None


def _replied(stage: Stage, code: int, text: bytes | str) -> Conversation:
    octets = text if isinstance(text, bytes) else text.encode()
    if not 200 <= code <= 599:  # smtplib says -1 for what is no reply
        detail = octets.decode("utf-8", "replace")
        return Conversation(stage, broken=Break.GARBAGE, detail=detail)
    return Conversation(stage, parse_reply(code, octets))


def _read_status(status: ServiceStatus | None) -> Ending | None:
    """What a service has said of the one recipient; None where it is neither yes nor no."""
    if status is None:
        return None
    text = f"{_in_words(status)} as {status.message_id}".removesuffix(" as ")
    if status.words <= _ACCEPTED:
        return Ending(_SENT, "", text)
    if status.words <= _REFUSED:
        return Ending(_FAILED, f"status {_in_words(status)}", text)
    return None


def _in_words(status: ServiceStatus) -> str:
    return ", ".join(sorted(map(str, status.words)))


def _read_api_error(error: Exception) -> Ending | None:
    """What a service's answer to a request proves; None where that is nothing."""
    status = _http_status(error)
    if status is None or not 400 <= status <= 499:
        # A connection that was never made carried nothing; anything later may have.
        never = any(_names(cause) & _NOT_CONNECTED for cause in _causes(error))
        return _of_error(_UNTRIED_PAUSE, error, "not connected") if never else None
    verdict = _FAILED
    if status == 429:
        verdict = _DEFERRED_PAUSE
    elif status in _OF_THE_SITE:
        verdict = _UNTRIED_HOLD
    elif status == 408:
        verdict = _DEFERRED  # the request did not arrive whole
    return _of_error(verdict, error, f"HTTP {status}")


def _http_status(error: Any) -> int | None:
    status = getattr(error, "status_code", None)
    if status is None and isinstance(answer := getattr(error, "response", None), dict):
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")  # Amazon's library
    return status if isinstance(status, int) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What an error was raised from; requests keeps urllib3's among its own arguments."""
    found = [error]
    for cause in found:
        yield cause
        from_these = (cause.__cause__, getattr(cause, "reason", None), *cause.args)
        found += [e for e in from_these if isinstance(e, BaseException) and e not in found]


def _names(error: BaseException) -> Set[str]:
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}


def _of_error(verdict: Verdict, error: Exception, label: str = "") -> Ending:
    return Ending(verdict, label or type(error).__name__, _words(error))


def _words(error: Exception) -> str:
    """What an error says; django-anymail's may fail at that without a response."""
    try:
        return str(error) or type(error).__name__
    except Exception:
        return type(error).__name__
