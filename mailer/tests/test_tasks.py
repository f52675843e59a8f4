"""Tasks in eager mode (a breakpoint works), and rings that a broker does not take."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from django_celery_results.models import TaskResult
from kombu.exceptions import OperationalError

from mailer import tasks
from mailer.engine.sender import Outcome
from mailer.models import Batch, DomainLimit, Relay, Run
from mailer.services.planning import start_now
from mailer.tests.factories import NOW, make_mailing, make_relay, make_run
from mailer.tests.ledger import Engine, check_invariants
from site_config import celery_app

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def eager() -> Iterator[None]:
    before = celery_app.conf.task_always_eager
    celery_app.conf.task_always_eager = True
    yield
    celery_app.conf.task_always_eager = before


def test_eager_mode_runs_everything_in_this_process(
    eager: None, engine: Engine, settings: pytest.FixtureRequest
) -> None:
    settings.MAILER_BATCH_SIZE = 5  # type: ignore[attr-defined]
    mailing = make_mailing(recipients=200)
    engine.script = lambda message: Outcome.FAILED if message.seq == 3 else Outcome.SENT
    with transaction.atomic():
        run = start_now(mailing, moment=NOW, trigger=Run.Trigger.STAFF, by=None, now=NOW)
        tasks.ring_after_commit()
        assert not run.deliveries.exists()  # nothing rings before the commit
    run.refresh_from_db()
    assert (run.state, run.sent, run.failed) == ("finished", 199, 1)
    check_invariants(run, taken=engine.taken)
    assert TaskResult.objects.filter(task_name="mailer.send_batch").count() == 40
    assert not Batch.objects.filter(task_id="").exists()


def test_a_broker_that_is_down_costs_only_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.send_batch, "apply_async", refuse)
    run = make_run(recipients=2)
    tasks.ring_after_commit()
    assert run.batches.get().rung_at is None


def test_arguments_are_ids_and_one_ring_is_sent_for_each_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rung: list[tuple[tuple[int], str]] = []
    monkeypatch.setattr(
        tasks.send_batch, "apply_async", lambda args, task_id: rung.append((args, task_id))
    )
    batch = make_run(recipients=2).batches.get()
    tasks.ring_after_commit()
    tasks.ring_after_commit()
    batch.refresh_from_db()
    assert rung == [((batch.pk,), batch.task_id)]


def test_the_tick_and_the_wake_up_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[int] = []
    monkeypatch.setattr(
        tasks.prepare_run, "apply_async", lambda args, task_id: rung.append(args[0])
    )
    mailing = make_mailing(
        recipients=1, enabled=True, schedule_kind="every", schedule_expression="1 minutes"
    )
    tasks.wake_mailing(mailing.pk)
    tasks.wake_mailing(mailing.pk + 1)  # a mailing that is gone
    tasks.tick()
    assert rung == [run.pk for run in mailing.runs.filter(state="scheduled")]


def test_a_ring_is_sent_for_the_moment_at_which_a_limit_or_a_pause_ends_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(tasks.ring, "apply_async", lambda *, countdown: waits.append(countdown))
    now = timezone.now()
    relay = make_relay(waits_until=now + timedelta(hours=1))
    tasks.ring_after_commit()
    assert waits == []  # a tick comes before that
    Relay.objects.filter(pk=relay.pk).update(paused_until=now + timedelta(seconds=8))
    tasks.ring_after_commit()
    tasks.ring_after_commit()
    assert waits in ([8], [7])
    DomainLimit.objects.create(
        name="Big", domains="big.example", per_minute=1, waits_until=now + timedelta(seconds=4)
    )
    tasks.ring_after_commit()
    assert len(waits) == 2


def test_a_ring_that_came_for_that_moment_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[int] = []
    monkeypatch.setattr(tasks.send_batch, "apply_async", lambda args, task_id: rung.append(args[0]))
    batch = make_run(recipients=2).batches.get()
    tasks.ring()
    assert rung == [batch.pk]
