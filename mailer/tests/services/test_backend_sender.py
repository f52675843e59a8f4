"""Django's SMTP backend against a server that misbehaves, and django-anymail's own test backend:
the states and stops of the engine's SMTP."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from anymail.exceptions import AnymailAPIError, AnymailUnsupportedFeature
from anymail.message import AnymailRecipientStatus
from anymail.signals import pre_send
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection, connections
from pytest_django import Settings

from mailer.engine.frame import FrameSpec
from mailer.engine.pace import Pace
from mailer.engine.render import Content, compile_content
from mailer.engine.sender import Outcome, Result
from mailer.services import backend_sender
from mailer.services.backend_message import BackendComposer
from mailer.services.backend_sender import BackendSender
from mailer.tests.engine.conftest import NOW, Serve, outgoing, serve
from mailer.tests.engine.scripted_smtp import DROP, HANG, ScriptedSMTP

__all__ = ["serve"]

SMTP = "django.core.mail.backends.smtp.EmailBackend"
ANYMAIL = "anymail.backends.test.EmailBackend"
LOGIN = b"250-x\r\n250 AUTH PLAIN"

COMPOSER = BackendComposer(
    FrameSpec(("News", "news@example.com"), "example.com"),
    compile_content(Content("Hello", "<p>Dear {{ name }}</p>", "Dear {{ name }}")),
    clock=lambda: NOW,
)


def yes() -> bool:
    return True


def on(number: int, answer: bytes, otherwise: bytes = b"250 ok") -> Callable[[bytes, int], bytes]:
    return lambda _line, count: answer if count == number else otherwise


def send(
    backend: str = SMTP, messages: int = 1, **options: Any
) -> tuple[list[Result], BackendSender]:
    results: list[Result] = []
    with BackendSender(backend, COMPOSER, **options) as sender:
        sender.send([outgoing(n + 1) for n in range(messages)], results, may_continue=yes)
    return results, sender


@pytest.fixture
def relay(serve: Serve, settings: Settings) -> Callable[..., ScriptedSMTP]:
    """Starts the server that Django's SMTP backend is told of, with a script."""

    def start(**script: Any) -> ScriptedSMTP:
        server = serve(script)
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.EMAIL_TIMEOUT = 0.3
        return server

    return start


Start = Callable[..., ScriptedSMTP]


# --- Django's SMTP backend -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "outcome", "problem"),
    [
        ({}, "sent", ""),
        ({"dot": b"252 2.0.0 accepted"}, "sent", ""),
        ({"quit": DROP}, "sent", ""),
        ({"rcpt": b"550 5.1.1 nobody"}, "failed", "550 5.1.1"),
        ({"rcpt": b"451 4.7.1 later"}, "deferred", "451 4.7.1"),
        ({"rcpt": b"552 5.2.2 full"}, "deferred", "552 5.2.2"),
        ({"data": b"554 5.7.1 policy"}, "failed", "554 5.7.1"),
        ({"dot": b"554 5.7.1 spam"}, "failed", "554 5.7.1"),
        ({"dot": b"451 4.3.0 later"}, "deferred", "451 4.3.0"),
        ({"data": b"250 ok?"}, "uncertain", "unreadable reply after the final dot"),
        # These four are one exception: nobody knows which of them it was.
        ({"mail": DROP}, "uncertain", "SMTPServerDisconnected while sending"),
        ({"rcpt": DROP}, "uncertain", "SMTPServerDisconnected while sending"),
        ({"data": DROP}, "uncertain", "SMTPServerDisconnected while sending"),
        ({"dot": DROP}, "uncertain", "SMTPServerDisconnected while sending"),
        ({"dot": HANG}, "uncertain", "SMTPServerDisconnected while sending"),
    ],
)
def test_what_becomes_of_a_message(
    relay: Start, script: dict[str, Any], outcome: str, problem: str
) -> None:
    relay(**script)
    (result,), sender = send()
    assert (result.outcome, result.problem) == (outcome, problem)
    assert result.suppress == ("now" if "5.1.1" in problem else "never")
    assert sender.trouble is None


@pytest.mark.parametrize(
    ("script", "kind", "outcomes"),
    [
        ({"connect": DROP}, "pause", []),
        ({"connect": b"421 busy"}, "pause", []),
        ({"connect": b"554 5.7.1 blocked"}, "hold", []),
        ({"ehlo": b"554 no", "helo": b"554 no"}, "hold", []),
        ({"mail": b"451 4.3.0 later"}, "pause", ["deferred"]),
        ({"mail": b"550 5.7.1 sender rejected"}, "hold", []),
        ({"rcpt": b"421 4.3.2 closing"}, "pause", ["deferred"]),
        ({"dot": b"421 4.3.2 closing"}, "pause", ["deferred"]),
        ({"dot": DROP}, "pause", ["uncertain"] * 3),
    ],
)
def test_what_stops_the_sending(
    relay: Start, script: dict[str, Any], kind: str, outcomes: list[str]
) -> None:
    relay(**script)
    results, sender = send(messages=5)
    assert [result.outcome for result in results] == outcomes
    assert sender.trouble is not None
    assert sender.trouble.kind == kind
    assert sender.trouble.reason.startswith(SMTP)


@pytest.mark.parametrize("reply", [b"535 5.7.8 no", b"454 4.7.0 no"])
def test_a_refused_login_blames_nobody(relay: Start, settings: Settings, reply: bytes) -> None:
    relay(ehlo=LOGIN, auth=reply)
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "u", "hunter2"
    results, sender = send(messages=3)
    assert results == []
    assert sender.trouble is not None
    assert sender.trouble.kind == "pause"
    assert "hunter2" not in sender.trouble.reason


def test_a_server_that_is_not_there_pauses_the_relay(relay: Start, settings: Settings) -> None:
    settings.EMAIL_PORT = 9
    results, sender = send(messages=3)
    assert results == []
    assert sender.trouble is not None
    assert sender.trouble.kind == "pause"


def test_a_server_that_hangs_up_after_a_refusal_leaves_the_next_in_no_doubt(relay: Start) -> None:
    server = relay(rcpt=on(1, b"550 5.1.1 nobody"), rset=on(1, DROP))
    results, _ = send(messages=2)
    assert [result.outcome for result in results] == [Outcome.FAILED, Outcome.SENT]
    assert server.connections == 2


def test_a_connection_that_was_idle_is_not_trusted(
    relay: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_sender, "IDLE_SECONDS", 0.0)
    server, results = relay(), list[Result]()
    with BackendSender(SMTP, COMPOSER) as sender:
        for n in (1, 2):
            sender.send([outgoing(n)], results, may_continue=yes)
            server.drop_connections()
    assert [result.outcome for result in results] == [Outcome.SENT] * 2


def test_a_connection_is_kept_for_so_many_messages(
    relay: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_sender, "MESSAGES_A_CONNECTION", 3)
    server = relay()
    results, _ = send(messages=7)
    assert len(results) == 7
    assert server.connections == 3
    assert server.commands.count("quit") == 3


def test_several_connections_share_the_messages(relay: Start) -> None:
    together = threading.Barrier(3)

    def answer(_line: bytes, count: int) -> bytes:
        if count <= 3:
            together.wait(5)
        return b"250 ok"

    server = relay(mail=answer)
    results, _ = send(messages=24, connections=3)
    assert sorted(result.seq for result in results) == list(range(1, 25))
    assert {result.outcome for result in results} == {Outcome.SENT}
    assert len({message.recipient for message in server.accepted}) == 24


def test_a_server_that_takes_one_connection_alone_is_sent_to_over_one(relay: Start) -> None:
    server = relay(connect=on(1, b"220 hello", otherwise=b"421 4.7.0 one is enough"))
    results, sender = send(messages=24, connections=3)
    assert [result.outcome for result in results] == [Outcome.SENT] * 24
    assert sender.trouble is None
    assert len(server.accepted) == 24


def test_the_pace_is_asked_before_each_message(relay: Start) -> None:
    server, slept, now = relay(), list[float](), [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(10, monotonic=lambda: now[0], sleep=sleep)
    results, _ = send(messages=5, pace=pace)
    assert len(results) == len(server.accepted) == 5
    assert sum(slept) == pytest.approx(0.4)


def test_nothing_leaves_after_a_stop(relay: Start) -> None:
    server, results = relay(), list[Result]()
    with BackendSender(SMTP, COMPOSER) as sender:
        sender.send(
            [outgoing(n) for n in range(1, 6)],
            results,
            may_continue=yes,
            may_offer=lambda: len(server.accepted) < 2,
        )
    assert len(results) == len(server.accepted) == 2


def test_who_lacks_a_value_fails_alone(relay: Start) -> None:
    server, results = relay(), list[Result]()
    with BackendSender(SMTP, COMPOSER) as sender:
        sender.send([outgoing(1, variables={}), outgoing(2)], results, may_continue=yes)
    assert [(r.outcome, r.problem) for r in results] == [
        (Outcome.FAILED, "template: name is missing"),
        (Outcome.SENT, ""),
    ]
    assert len(server.accepted) == 1


# --- django-anymail's test backend -----------------------------------------------------------


@pytest.fixture
def service(settings: Settings) -> Iterator[dict[str, Any]]:
    """Answers of the service by address; without one it says "sent"."""
    answers: dict[str, Any] = {}
    mail.outbox = []

    def answer(message: Any, **_: object) -> None:
        said = answers.get(message.to[0].split("<")[1].strip(">"))
        if isinstance(said, AnymailUnsupportedFeature):
            raise said
        if isinstance(said, str):
            status = AnymailRecipientStatus("id-7", said)
            message.anymail_test_response = {"recipient_status": {"r1@example.org": status}}
        elif said is not None:
            message.anymail_test_response = said

    pre_send.connect(answer, weak=False)
    yield answers
    pre_send.disconnect(answer)


def api_error(status: int | None) -> AnymailAPIError:
    error = AnymailAPIError("said so")
    error.status_code, error.response = (
        status,
        type("Response", (), {"reason": "so", "text": "x"})(),
    )
    return error


@pytest.mark.parametrize(
    ("said", "outcome", "problem"),
    [
        (None, "sent", ""),
        ("sent", "sent", ""),
        ("queued", "sent", ""),
        ("rejected", "failed", "status rejected"),
        ("invalid", "failed", "status invalid"),
        ("failed", "failed", "status failed"),
        ("unknown", "uncertain", "status unknown"),
        (api_error(400), "failed", "HTTP 400"),
        (api_error(500), "uncertain", "AnymailAPIError while sending"),
        (api_error(None), "uncertain", "AnymailAPIError while sending"),
        ({"no": "status"}, "uncertain", "AnymailAPIError while sending"),
    ],
)
def test_what_becomes_of_a_message_to_a_service(
    service: dict[str, Any], said: Any, outcome: str, problem: str
) -> None:
    service["r1@example.org"] = said
    (result,), sender = send(ANYMAIL)
    assert (result.outcome, result.problem, result.code) == (outcome, problem, None)
    assert sender.trouble is None
    (sent,) = mail.outbox
    assert sent.anymail_test_params["extra_headers"]["Message-ID"].endswith("1@example.com>")


@pytest.mark.parametrize(
    ("said", "kind", "outcomes"),
    [
        (api_error(401), "hold", []),
        (api_error(403), "hold", []),
        (api_error(429), "pause", ["deferred"]),
        (AnymailUnsupportedFeature("no inline images"), "hold", []),
    ],
)
def test_what_stops_the_sending_to_a_service(
    service: dict[str, Any], said: Any, kind: str, outcomes: list[str]
) -> None:
    service["r1@example.org"] = said
    results, sender = send(ANYMAIL, messages=3)
    assert [result.outcome for result in results] == outcomes
    assert sender.trouble is not None
    assert sender.trouble.kind == kind
    assert sender.trouble.reason.startswith(ANYMAIL)


def test_an_id_of_the_service_is_kept_with_the_delivery(service: dict[str, Any]) -> None:
    service["r1@example.org"] = "queued"
    (result,), _ = send(ANYMAIL)
    assert result.reply == "queued as id-7"


# --- Backends that are not as they should be -------------------------------------------------


class OddBackend(BaseEmailBackend):
    """Does what a test asks of it."""

    does: ClassVar[Callable[[], object]]

    def send_messages(self, _messages: Any) -> Any:
        return type(self).does()


ODD = f"{__name__}.OddBackend"


@pytest.mark.parametrize(
    ("returned", "outcome"), [(1, "sent"), (0, "uncertain"), (None, "uncertain")]
)
def test_of_a_backend_of_ones_own_only_one_is_a_yes(returned: object, outcome: str) -> None:
    OddBackend.does = lambda: returned
    (result,), _ = send(ODD)
    assert result.outcome == outcome


def test_one_that_ends_the_thread_leaves_its_message_in_doubt() -> None:
    def stop() -> None:
        raise SystemExit

    OddBackend.does = stop
    results: list[Result] = []
    with BackendSender(ODD, COMPOSER) as sender, pytest.raises(SystemExit):
        sender.send([outgoing(1), outgoing(2)], results, may_continue=yes)
    assert [(r.outcome, r.problem) for r in results] == [(Outcome.UNCERTAIN, "interrupted")]


@pytest.mark.parametrize("backend", ["no.such.Backend", "mailer.tests.factories.NOW"])
def test_one_that_cannot_be_made_holds_the_run(backend: str) -> None:
    results, sender = send(backend, messages=2)
    assert results == []
    assert sender.trouble is not None
    assert sender.trouble.kind == "hold"
    assert sender.trouble.reason.startswith(backend)


@pytest.mark.django_db(transaction=True)
def test_its_threads_keep_no_connection_to_the_database() -> None:
    opened: list[Any] = []

    def look() -> int:
        connection.ensure_connection()
        opened.append(connections["default"])
        return 1

    OddBackend.does = look
    send(ODD)
    (wrapper,) = opened
    assert wrapper.connection is None
