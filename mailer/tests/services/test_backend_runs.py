"""Whole runs and test messages through a relay that is a Django backend."""

from datetime import timedelta
from email import message_from_bytes
from itertools import count
from typing import Any

import pytest
from anymail.exceptions import AnymailAPIError
from anymail.message import AnymailRecipientStatus
from anymail.signals import pre_send
from django.core import mail
from pytest_django import Settings

from mailer.exceptions import NotPossible
from mailer.models import Delivery, Relay, Run, Suppression
from mailer.services import content, control, recovery, sending, testing
from mailer.services.reserving import STRETCH
from mailer.tests.engine.conftest import Serve, serve
from mailer.tests.engine.scripted_smtp import DROP, ScriptedSMTP
from mailer.tests.factories import NOW, make_message, make_relay, make_run
from mailer.tests.ledger import check_invariants, find_broken, send_all
from mailer.tests.services.test_attaching import check_parts, make_files

__all__ = ["serve"]

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

SMTP = "django.core.mail.backends.smtp.EmailBackend"
ANYMAIL = "anymail.backends.test.EmailBackend"
ANSWERS = {
    2: b"550 5.1.1 nobody",
    4: b"451 4.7.1 later",
    6: DROP,
    8: b"554 5.7.1 policy",
}


@pytest.fixture(autouse=True)
def _site(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MAILER_BACKENDS = [SMTP, ANYMAIL]
    settings.MAILER_BATCH_SIZE, settings.MAILER_WINDOW_SIZE = 10, 4
    monkeypatch.setattr(content, "render_bounded", lambda *_: None)
    mail.outbox = []


def start(serve: Serve, settings: Settings, **script: Any) -> ScriptedSMTP:
    server: ScriptedSMTP = serve(script)
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.EMAIL_TIMEOUT = 2
    return server


def run_through(backend: str, *, recipients: int = 12, **fields: Any) -> Run:
    relay = make_relay(kind="backend", backend=backend, from_environment=False, **fields)
    return make_run(recipients=recipients, relay=relay)


def states(run: Run) -> dict[str, int]:
    run.refresh_from_db()
    return {name: n for name, n in run.by_state.items() if n}


def broken(run: Run, server: ScriptedSMTP) -> list[str]:
    return find_broken(
        run,
        taken=[message.recipient for message in server.accepted],
        message_ids=[message_from_bytes(m.data)["Message-ID"] for m in server.accepted],
    )


def test_a_run_has_the_states_of_smtp(serve: Serve, settings: Settings) -> None:
    def answer(_line: bytes, count: int) -> bytes:
        return ANSWERS.get(count, b"250 ok")

    server = start(serve, settings, rcpt=answer)
    run = run_through(SMTP, connections=1)
    send_all(run)
    assert states(run) == {"sent": 8, "failed": 2, "deferred": 1, "uncertain": 1}
    assert broken(run, server) == []
    assert Suppression.objects.count() == 1  # 5.1.1, not the policy

    deferred = Delivery.objects.get(run=run, state="deferred")
    assert deferred.retry_at is not None
    later = deferred.retry_at + timedelta(seconds=1)
    recovery.retry_due(now=later)
    send_all(run, now=later)
    assert states(run) == {"sent": 9, "failed": 2, "uncertain": 1}
    assert broken(run, server) == []
    again = message_from_bytes(server.accepted[-1].data)
    assert deferred.uuid.hex in again["Message-ID"]
    assert again["List-Id"] == f'"{run.lists.get().name}" <{run.lists.get().slug}.mail.example.org>'


def test_a_run_through_a_service(settings: Settings) -> None:
    problems = {
        "rejected": ("failed", "status rejected"),
        "unknown": ("uncertain", "status unknown"),
        "error": ("uncertain", "AnymailAPIError while sending"),
    }
    said = iter(problems)

    def answer(message: Any, **_: object) -> None:
        if len(mail.outbox) % 5 == 1 and (word := next(said, None)):
            address = message.to[0].split("<")[1].strip(">")
            status = {address: AnymailRecipientStatus("id", word if word != "error" else None)}
            response: Any = {"recipient_status": status}
            message.anymail_test_response = AnymailAPIError("?") if word == "error" else response

    pre_send.connect(answer)
    run = run_through(ANYMAIL, recipients=20, connections=1)
    send_all(run)
    assert states(run) == {"sent": 17, "failed": 1, "uncertain": 2}
    unlike = Delivery.objects.filter(run=run).exclude(state="sent").order_by("seq")
    assert list(unlike.values_list("state", "problem")) == list(problems.values())
    taken = [message.to[0].split("<")[1].strip(">") for message in mail.outbox]
    refused = Delivery.objects.get(run=run, state="failed").address
    check_invariants(run, taken=[address for address in taken if address != refused])


def test_an_acceptance_ends_the_relays_backoff() -> None:
    run = run_through(ANYMAIL)
    Relay.objects.update(failures_in_a_row=3)
    send_all(run)
    assert Relay.objects.get().failures_in_a_row == 0


def test_a_message_that_is_in_doubt_again_pauses_the_relay_again(settings: Settings) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("boom")

    pre_send.connect(fail)
    run = run_through(ANYMAIL, recipients=20)
    Relay.objects.update(failures_in_a_row=2, paused_until=NOW)
    send_all(run)
    assert states(run) == {"uncertain": 1, "pending": 19}
    relay = Relay.objects.get()
    pause = timedelta(seconds=4 * settings.MAILER_RELAY_PAUSE_SECONDS)
    assert (relay.failures_in_a_row, relay.paused_until) == (3, NOW + pause)
    assert relay.pause_reason == f"{ANYMAIL} broke off again: RuntimeError while sending"


def test_a_backend_that_is_not_listed_any_more_holds_the_run(settings: Settings) -> None:
    run = run_through(ANYMAIL)
    settings.MAILER_BACKENDS = []
    with pytest.raises(NotPossible):
        send_all(run)
    assert states(run) == {"pending": 12}
    assert (run.state, mail.outbox) == ("paused", [])
    assert f"through {ANYMAIL}, which MAILER_BACKENDS does not list" in run.reason
    settings.MAILER_BACKENDS = [ANYMAIL]
    control.resume_run(run.pk, by=None, now=NOW)
    send_all(run)
    assert states(run) == {"sent": 12}


def test_the_rate_is_reserved_as_for_smtp(monkeypatch: pytest.MonkeyPatch) -> None:
    paces: list[float | None] = []
    pace = content.Pace
    monkeypatch.setattr(content, "Pace", lambda rate: paces.append(rate) or pace(None))
    run = run_through(ANYMAIL, recipients=4, rate_per_second=1000)
    ticks = count()
    batch = run.batches.get()
    sending.send_batch(
        batch.pk,
        task_id="t",
        worker="w",
        clock=lambda: NOW + timedelta(milliseconds=10 * next(ticks)),
        stopping=lambda: False,
    )
    assert states(run) == {"sent": 4}
    assert paces == [1000.0 / STRETCH]
    reserved = Relay.objects.get().reserved_until
    assert reserved is not None
    assert reserved > NOW


def test_a_test_message_with_its_files(serve: Serve, settings: Settings) -> None:
    server = start(serve, settings)
    relay = make_relay(kind="backend", backend=SMTP, from_environment=False)
    message = make_message()
    make_files(message)
    test = testing.request_test(message, "ann@people.example", relay=relay, by=None, now=NOW)
    assert testing.send_test_message(test.pk) == {"state": "sent"}
    check_parts(server.accepted[0].data)
    assert server.accepted[0].envelope_sender == "news@sender.example"
