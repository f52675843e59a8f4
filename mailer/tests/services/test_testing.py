"""Test messages: tried as often as may help, sent once, and no address outside their row."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core import serializers
from django_celery_results.models import TaskResult
from kombu.exceptions import OperationalError

from admin_ext.components.outcome import ActionRefused
from admin_ext.models import TaskAttempt
from mailer import models, tasks
from mailer.exceptions import MailerError, NotPossible
from mailer.models import TestMessage
from mailer.services import content, testing
from mailer.tests.engine.conftest import Serve, relay_to, serve
from mailer.tests.engine.scripted_smtp import DROP, ScriptedSMTP
from mailer.tests.factories import NOW, make_mailing, make_message, make_relay, make_run
from mailer.tests.ledger import send_one
from site_config import celery_app

__all__ = ["serve"]

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

ANN = "ann@people.example"
NOBODY = b"550 5.1.1 <ann@people.example>: no such user"
LATER = b"451 4.7.1 <ann@people.example>: come back later"
HELD = b"550 5.7.1 news@sender.example may not write to ann@people.example"

Relay = Callable[..., ScriptedSMTP]


@pytest.fixture
def eager() -> Iterator[None]:
    before = celery_app.conf.task_always_eager
    celery_app.conf.task_always_eager = True
    yield
    celery_app.conf.task_always_eager = before


@pytest.fixture
def relay(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Relay:
    """Starts the relay that tests leave through, with a script."""
    make_relay()

    def start(**script: Any) -> ScriptedSMTP:
        server = serve(script)
        monkeypatch.setattr(testing, "relay_address", lambda _relay: relay_to(server))
        return server

    return start


def request() -> TestMessage:
    if not models.Relay.objects.exists():
        make_relay()
    return testing.request_test(make_message(), ANN, by=None, now=NOW)


def states(test: TestMessage) -> list[str]:
    attempts = TaskAttempt.objects.of_task(test.task_id)
    return [attempt.state for attempt in attempts]


def test_arguments_are_the_tests_id(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[Any] = []

    def publish(args: Any, kwargs: Any, **options: Any) -> Any:
        published.append((args, kwargs, options))
        return TaskResult(id=1)

    monkeypatch.setattr(tasks.send_test, "apply_async", publish)
    test = request()
    tasks.publish_test(test)
    assert published == [([test.pk], {}, {"task_id": test.task_id})]


@pytest.mark.parametrize(
    ("script", "outcome", "attempts"),
    [
        ({}, "sent", ["succeeded"]),
        ({"dot": DROP}, "uncertain", ["succeeded"]),
        ({"rcpt": NOBODY}, "failed", ["failed"]),
        ({"mail": HELD}, "failed", ["failed"]),  # no other try would help
    ],
)
def test_an_end_is_written_down_and_not_tried_again(
    eager: None, relay: Relay, script: dict[str, Any], outcome: str, attempts: list[str]
) -> None:
    server, test = relay(**script), request()
    tasks.publish_test(test)
    test.refresh_from_db()
    assert (test.outcome, states(test)) == (outcome, attempts)
    assert sum(line.startswith("MAIL") for line in server.commands) == 1
    attempt = TaskAttempt.objects.get(task_id=test.task_id)
    assert (attempt.object_label, attempt.object_pk) == ("mailer.message", str(test.message_id))


def test_a_message_larger_than_the_relay_takes_says_so_and_is_not_tried_again(
    eager: None, relay: Relay
) -> None:
    relay(ehlo=b"250-scripted.test\r\n250 SIZE 300")
    test = request()
    tasks.publish_test(test)
    test.refresh_from_db()
    assert (test.outcome, states(test)) == ("failed", ["failed"])
    assert "every message has at least" in test.reply
    assert "the relay takes 300: have its limit raised" in test.reply


def test_a_run_whose_message_the_relay_is_too_small_for_waits_and_blames_nobody(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = relay(ehlo=b"250-scripted.test\r\n250 SIZE 300")
    monkeypatch.setattr(content, "relay_address", lambda _relay: relay_to(server))
    run = make_run(recipients=3)
    send_one(run.batches.get())
    run.refresh_from_db()
    assert (run.state, run.pending, run.failed) == ("paused", 3, 0)
    assert "every message has at least" in run.reason


@pytest.mark.parametrize("script", [{"rcpt": LATER}, {"connect": b"421 4.3.2 busy"}])
def test_a_refusal_for_now_is_tried_again_three_times(
    eager: None, relay: Relay, script: dict[str, Any]
) -> None:
    server, test = relay(**script), request()
    tasks.publish_test(test)
    test.refresh_from_db()
    assert test.outcome == "deferred"
    assert server.connections == 4
    assert TaskAttempt.objects.filter(task_id=test.task_id).count() == 4


def test_a_try_that_is_taken_ends_the_retries(eager: None, relay: Relay) -> None:
    server = relay(rcpt=lambda _line, count: LATER if count < 3 else b"250 2.1.5 ok")
    test = request()
    tasks.publish_test(test)
    test.refresh_from_db()
    assert (test.outcome, test.reply) == ("sent", "2.0.0 queued")
    assert len(server.accepted) == 1


@pytest.mark.parametrize(
    "script", [{}, {"dot": DROP}, {"rcpt": NOBODY}, {"rcpt": LATER}, {"mail": HELD}]
)
def test_the_address_stands_in_the_tests_row_alone(
    eager: None, relay: Relay, script: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    relay(**script)
    test = request()
    tasks.publish_test(test)
    rows: list[Any] = []
    for table in (TaskResult, TaskAttempt, LogEntry):
        rows += table.objects.all()
    assert rows
    assert "people.example" not in serializers.serialize("json", rows)
    # The database's own log of its statements is not what is meant.
    lines = [r.getMessage() for r in caplog.records if not r.name.startswith("django.db")]
    assert not [line for line in lines if "people.example" in line]
    test.refresh_from_db()
    assert ("people.example" in test.reply) == bool({"rcpt", "mail"} & set(script))


@pytest.mark.parametrize(("outcome", "sent"), [("sent", 0), ("uncertain", 0), ("failed", 1)])
def test_running_it_again_sends_only_what_did_not_leave(
    relay: Relay, outcome: str, sent: int
) -> None:
    server, test = relay(), request()
    # Uncertain is also what a worker leaves that dies with the test in its hands.
    TestMessage.objects.update(outcome=outcome)
    assert testing.send_test_message(test.pk) == {"state": "sent" if sent else outcome}
    assert len(server.accepted) == sent


def test_what_cannot_be_sent_says_why() -> None:
    with pytest.raises(NotPossible, match="no relay"):
        testing.request_test(make_message(), ANN, by=None, now=NOW)
    test = request()
    models.Relay.objects.all().delete()
    with pytest.raises(NotPossible, match="Its relay was deleted"):
        testing.send_test_message(test.pk)
    test.refresh_from_db()
    assert (test.outcome, test.reply[:17]) == ("failed", "Its relay was del")
    with pytest.raises(NotPossible, match="not kept"):
        testing.send_test_message(test.pk + 1)


def test_a_test_leaves_through_the_relay_that_its_mailing_uses_or_that_is_chosen() -> None:
    first, mailings, chosen = (make_relay() for _ in range(3))
    message = make_message()

    def through(relay: models.Relay | None = None) -> models.Relay | None:
        return testing.request_test(message, ANN, relay=relay, by=None, now=NOW).relay

    assert through() == first
    make_mailing(message=message, relay=mailings)
    assert through() == mailings
    assert through(chosen) == chosen


def test_a_broker_that_is_down_leaves_no_test(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.send_test, "apply_async", refuse)
    with pytest.raises(ActionRefused, match="did not take it"):
        tasks.publish_test(request())
    assert not TestMessage.objects.exists()


@pytest.mark.parametrize(
    ("script", "code"),
    [({"rcpt": NOBODY}, " (550 5.1.1)"), ({"rcpt": LATER}, " (451 4.7.1)"), ({"mail": HELD}, "")],
)
def test_errors_name_the_tests_id(relay: Relay, script: dict[str, Any], code: str) -> None:
    relay(**script)
    test = request()
    with pytest.raises(MailerError) as raised:
        testing.send_test_message(test.pk)
    words = f"Test {test.pk} was not sent{code}. Its message's page says why."
    assert str(raised.value) == words


def test_old_tests_are_forgotten(settings: Any) -> None:
    settings.ADMIN_EXT_KEEP_DAYS = 30
    request()
    assert testing.purge_tests(now=NOW + timedelta(days=30)) == 0
    assert testing.purge_tests(now=NOW + timedelta(days=31)) == 1
