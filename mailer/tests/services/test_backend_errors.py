"""What a backend raises or returns means what it proves, and nothing more."""

import smtplib
import ssl
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from anymail import exceptions as anymail
from anymail.message import AnymailRecipientStatus, AnymailStatus
from django.core.exceptions import ImproperlyConfigured
from urllib3.exceptions import MaxRetryError, NewConnectionError, ReadTimeoutError

from mailer.engine.ending import Ending
from mailer.services.backend_errors import (
    ServiceStatus,
    read_construction,
    read_opening,
    read_raised,
    read_returned,
    status_of,
)

GONE = (550, b"5.1.1 no such user")


def in_short(ending: Ending) -> tuple[str, str, str]:
    """Outcome, what it does to the relay, label."""
    return (ending.verdict.outcome.value, ending.verdict.relay, ending.label)


def refused(code: int, words: bytes = b"said so") -> smtplib.SMTPRecipientsRefused:
    return smtplib.SMTPRecipientsRefused({"ann@a.example": (code, words)})


UNREADABLE = "unreadable reply after the final dot"
BEFORE_MAIL: list[tuple[Exception, str, str, str]] = [
    (smtplib.SMTPHeloError(550, b"go away"), "untried", "hold", "550"),
    (smtplib.SMTPAuthenticationError(535, b"5.7.8 wrong"), "untried", "pause", "535 5.7.8"),
    (smtplib.SMTPAuthenticationError(454, b"4.7.0 later"), "untried", "pause", "454 4.7.0"),
    (smtplib.SMTPConnectError(421, b"busy"), "untried", "pause", "421"),
]
SMTP_ROWS: list[tuple[Exception, str, str, str]] = [
    (refused(*GONE), "failed", "ok", "550 5.1.1"),
    (refused(451), "deferred", "ok", "451"),
    (refused(421), "deferred", "pause", "421"),
    (refused(-1), "deferred", "ok", "unreadable reply at RCPT TO"),
    (smtplib.SMTPSenderRefused(550, b"5.7.1 no", "n@s.example"), "untried", "hold", "550 5.7.1"),
    (smtplib.SMTPSenderRefused(451, b"later", "n@s.example"), "deferred", "pause", "451"),
    (smtplib.SMTPDataError(554, b"5.7.1 spam"), "failed", "ok", "554 5.7.1"),
    (smtplib.SMTPDataError(451, b"later"), "deferred", "ok", "451"),
    (smtplib.SMTPDataError(421, b"closing"), "deferred", "pause", "421"),
    (smtplib.SMTPDataError(252, b"accepted"), "sent", "ok", "252"),
    (smtplib.SMTPDataError(250, b"ok"), "uncertain", "ok", UNREADABLE),
    (smtplib.SMTPDataError(354, b"go on"), "uncertain", "ok", "354"),
    (smtplib.SMTPDataError(-1, b""), "uncertain", "ok", UNREADABLE),
    *BEFORE_MAIL,
]  # fmt: skip
IN_DOUBT = [
    smtplib.SMTPServerDisconnected("Connection unexpectedly closed"),
    smtplib.SMTPResponseException(550, b"to what?"),
    smtplib.SMTPRecipientsRefused({"ann@a.example": GONE, "bob@a.example": GONE}),
    smtplib.SMTPException("something"),
    TimeoutError("timed out"),
    ConnectionResetError(104, "reset"),
    ssl.SSLError("bad record"),
    ValueError("a mistake of the backend's"),
    anymail.AnymailError("something"),
    anymail.AnymailAPIError("no status"),
]


@pytest.mark.parametrize(("error", "outcome", "relay", "label"), SMTP_ROWS)
def test_an_smtp_reply_counts_as_the_engines_own_would(
    error: Exception, outcome: str, relay: str, label: str
) -> None:
    assert in_short(read_raised(error, None)) == (outcome, relay, label)


@pytest.mark.parametrize(("error", "outcome", "relay", "label"), BEFORE_MAIL)
def test_and_so_does_one_while_opening(
    error: Exception, outcome: str, relay: str, label: str
) -> None:
    assert in_short(read_opening(error)) == (outcome, relay, label)


def test_a_reply_keeps_its_code_and_suppresses_as_the_engine_does() -> None:
    ending = read_raised(refused(*GONE), None)
    assert (ending.code, ending.enhanced_status, ending.text) == (
        550,
        "5.1.1",
        "5.1.1 no such user",
    )
    assert ending.verdict.suppress == "now"


@pytest.mark.parametrize("error", IN_DOUBT)
def test_what_proves_nothing_is_uncertain(error: Exception) -> None:
    ending = read_raised(error, None)
    assert in_short(ending) == ("uncertain", "ok", f"{type(error).__name__} while sending")
    assert ending.broke  # several in a row pause the relay


@pytest.mark.parametrize(
    ("error", "relay", "label"),
    [
        (smtplib.SMTPServerDisconnected("closed"), "pause", "connection lost while connecting"),
        (ConnectionRefusedError(111, "refused"), "pause", "connection lost while connecting"),
        (TimeoutError("timed out"), "pause", "no reply in time while connecting"),
        (ssl.SSLError("no certificate"), "pause", "connection lost while securing the connection"),
        (smtplib.SMTPNotSupportedError("STARTTLS"), "pause", "relay not usable while connecting"),
        (ValueError("a mistake of the backend's"), "pause", "connection lost while connecting"),
        (smtplib.SMTPDataError(252, b"?"), "pause", "connection lost while connecting"),
        (ImproperlyConfigured("no key"), "hold", "ImproperlyConfigured"),
        (anymail.AnymailConfigurationError("no key"), "hold", "AnymailConfigurationError"),
    ],
)
def test_what_opening_raises_blames_no_recipient(error: Exception, relay: str, label: str) -> None:
    assert in_short(read_opening(error)) == ("untried", relay, label)


def test_a_backend_that_cannot_be_made_holds_the_run() -> None:
    assert in_short(read_construction(TypeError("x"))) == ("untried", "hold", "TypeError")


# --- django-anymail --------------------------------------------------------------------------


def answered(status: int) -> anymail.AnymailRequestsAPIError:
    response = requests.Response()
    response.status_code, response.reason, response._content = status, "Said", b'{"why": "so"}'
    return anymail.AnymailRequestsAPIError(response=response)


@pytest.mark.parametrize(
    ("status", "outcome", "relay"),
    [
        (400, "failed", "ok"),
        (413, "failed", "ok"),
        (422, "failed", "ok"),
        (401, "untried", "hold"),
        (402, "untried", "hold"),
        (403, "untried", "hold"),
        (404, "untried", "hold"),
        (408, "deferred", "ok"),
        (429, "deferred", "pause"),
    ],
)
def test_only_a_4xx_of_the_service_is_a_refusal(status: int, outcome: str, relay: str) -> None:
    ending = read_raised(answered(status), None)
    assert in_short(ending) == (outcome, relay, f"HTTP {status}")
    assert '"why": "so"' in ending.text
    assert ending.code is None  # it is not an SMTP code


@pytest.mark.parametrize("status", [200, 302, 500, 502, 503])
def test_any_other_status_proves_nothing(status: int) -> None:
    assert read_raised(answered(status), None).verdict.outcome == "uncertain"


def test_amazons_status_is_found_in_its_answer() -> None:
    error = anymail.AnymailAPIError(
        "MessageRejected", response={"ResponseMetadata": {"HTTPStatusCode": 400}}
    )
    assert in_short(read_raised(error, None)) == ("failed", "ok", "HTTP 400")


def test_an_error_that_cannot_say_what_it_is_is_read_all_the_same() -> None:
    error = anymail.AnymailAPIError(status_code=400)  # its words want a response
    with pytest.raises(AttributeError):
        str(error)
    assert read_raised(error, None).text == "AnymailAPIError"


def raised_from(reason: Exception) -> anymail.AnymailAPIError:
    """As requests and django-anymail wrap what urllib3 raises."""
    pool: Any = SimpleNamespace()
    error = anymail.AnymailRequestsAPIError("Error posting")
    error.__cause__ = requests.ConnectionError(MaxRetryError(pool, "/", reason))
    return error


def test_a_connection_that_was_never_made_carried_nothing() -> None:
    nobody: Any = SimpleNamespace(host="api.esp.example")
    never = read_raised(raised_from(NewConnectionError(nobody, "refused")), None)
    assert in_short(never) == ("untried", "pause", "not connected")
    later = read_raised(raised_from(ReadTimeoutError(nobody, "/", "too late")), None)
    assert later.verdict.outcome == "uncertain"


def test_an_earlier_try_that_was_refused_proves_nothing_of_a_later_one() -> None:
    nobody: Any = SimpleNamespace(host="api.esp.example")
    error = raised_from(ReadTimeoutError(nobody, "/", "too late"))
    error.__context__ = NewConnectionError(nobody, "refused")
    assert read_raised(error, None).verdict.outcome == "uncertain"


@pytest.mark.parametrize(
    ("error", "outcome", "relay"),
    [
        (anymail.AnymailConfigurationError("no key"), "untried", "hold"),
        (anymail.AnymailUnsupportedFeature("inline images"), "untried", "hold"),
        (anymail.AnymailSerializationError("a date"), "failed", "ok"),
        (anymail.AnymailInvalidAddress("ann@"), "failed", "ok"),
    ],
)
def test_what_is_raised_before_the_request(error: Exception, outcome: str, relay: str) -> None:
    assert in_short(read_raised(error, None)) == (outcome, relay, type(error).__name__)


def noted(*statuses: str | None) -> ServiceStatus | None:
    status = AnymailStatus()
    if statuses:
        status.set_recipient_status(
            {f"{n}@a.example": AnymailRecipientStatus("id-7", s) for n, s in enumerate(statuses)}
        )
    return status_of(SimpleNamespace(anymail_status=status))


@pytest.mark.parametrize(
    ("statuses", "returned", "outcome", "label"),
    [
        (("sent",), 1, "sent", ""),
        (("queued",), 1, "sent", ""),
        (("rejected",), 1, "failed", "status rejected"),
        (("invalid",), 1, "failed", "status invalid"),
        (("failed",), 1, "failed", "status failed"),
        (("unknown",), 1, "uncertain", "status unknown"),
        ((None,), 1, "uncertain", "status None"),
        ((), 1, "uncertain", "status None"),
        (("sent", "rejected"), 1, "uncertain", "status rejected, sent"),
        ((), 0, "uncertain", "the backend returned 0"),
    ],
)
def test_a_services_status_decides(
    statuses: tuple[str | None, ...], returned: int, outcome: str, label: str
) -> None:
    assert in_short(read_returned(returned, noted(*statuses))) == (outcome, "ok", label)


def test_a_status_counts_whatever_was_raised_after_it() -> None:
    rejected = read_raised(anymail.AnymailRecipientsRefused(), noted("rejected"))
    assert in_short(rejected) == ("failed", "ok", "status rejected")
    of_a_receiver = read_raised(RuntimeError("a receiver of post_send"), noted("queued"))
    assert in_short(of_a_receiver) == ("sent", "ok", "")
    assert of_a_receiver.text == "queued as id-7"


@pytest.mark.parametrize(
    ("returned", "outcome"), [(1, "sent"), (0, "uncertain"), (None, "uncertain"), (2, "uncertain")]
)
def test_of_other_backends_one_is_a_yes(returned: object, outcome: str) -> None:
    ending = read_returned(returned, status_of(object()))
    assert ending.verdict.outcome == outcome
    assert ending.broke is (outcome == "uncertain")
