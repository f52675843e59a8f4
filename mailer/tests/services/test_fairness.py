"""Several runs at once: who is next, and who has to make room."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from mailer.models import Batch, Mailing, Relay, Run
from mailer.services import claiming, ringing
from mailer.services.control import pause_run, resume_run
from mailer.services.fairness import must_yield, note_progress
from mailer.services.planning import start_now
from mailer.states import BatchState, RunState
from mailer.tests.factories import NOW, make_mailing, make_relay, make_run

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.fixture(autouse=True)
def _small(settings: Settings) -> None:
    settings.MAILER_BATCH_SIZE = 10


def ring(processes: int = 1) -> list[Run]:
    bells = ringing.take_bells(now=NOW, processes=processes)
    return [Batch.objects.get(pk=bell.pk).run for bell in bells]


def send(run: Run, *, seconds: float = 0) -> Batch:
    """Have a batch of it on the wire, as `seconds` ago."""
    batch = run.batches.filter(state=BatchState.READY).first()
    assert batch is not None
    now = NOW - timedelta(seconds=seconds)
    assert claiming.claim_batch(batch.pk, task_id="t", worker="w", now=now)
    batch.refresh_from_db()
    return batch


def end(batch: Batch) -> None:
    note_progress(batch, messages=batch.size)
    Batch.objects.filter(pk=batch.pk).update(
        state=BatchState.DONE, token=None, lease_until=None, finished_at=NOW
    )


def served(turns: int, **first: Any) -> Counter[int]:
    """How many of so many batches each of two runs got, one after the other."""
    relay = make_relay(connections=1)
    runs = [make_run(recipients=400, relay=relay, **fields) for fields in (first, {})]
    count: Counter[int] = Counter()
    for _ in range(turns):
        (run,) = ring()
        count[runs.index(run)] += 1
        end(send(run))
    return count


def test_runs_of_one_weight_take_turns() -> None:
    assert served(20) == {0: 10, 1: 10}


def test_runs_share_a_relay_by_weight() -> None:
    assert served(20, weight=Mailing.Weight.MORE) == {0: 16, 1: 4}


def test_an_urgent_run_goes_before_all_others() -> None:
    assert served(20, urgent=True) == {0: 20}


def test_whoever_begins_later_has_nothing_to_make_up_for() -> None:
    relay = make_relay(connections=1)
    first = make_run(recipients=400, relay=relay)
    for _ in range(10):
        end(send(ring()[0]))
    second = make_run(recipients=400, relay=relay)
    count: Counter[int] = Counter()
    for _ in range(10):
        (run,) = ring()
        count[run.pk] += 1
        end(send(run))
    assert count == {first.pk: 5, second.pk: 5}


def test_whoever_was_paused_has_nothing_to_make_up_for_either() -> None:
    relay = make_relay(connections=1)
    first = make_run(recipients=400, relay=relay)
    end(send(ring()[0]))
    pause_run(first.pk, by=None, now=NOW)
    second = make_run(recipients=400, relay=relay)
    for _ in range(10):
        end(send(ring()[0]))
    resume_run(first.pk, by=None, now=NOW)
    got = Counter()
    for _ in range(10):
        (run,) = ring()
        got[run.pk] += 1
        end(send(run))
    assert got == {first.pk: 5, second.pk: 5}


def test_a_small_run_is_made_room_for() -> None:
    relay = make_relay(connections=1)
    large = make_run(recipients=400, relay=relay)
    batch = send(large)
    assert not must_yield(batch, per_second=10, now=NOW)  # nobody waits
    make_run(recipients=5, relay=relay)
    assert not must_yield(batch, per_second=10, now=NOW)  # they are level
    note_progress(batch, messages=1)
    assert must_yield(batch, per_second=10, now=NOW)


def test_a_run_that_is_being_sent_too_waits_until_it_is_behind() -> None:
    relay = make_relay(connections=2)
    batch = send(make_run(recipients=400, relay=relay))
    other = make_run(recipients=400, relay=relay)
    send(other)
    note_progress(batch, messages=90)
    assert not must_yield(batch, per_second=10, now=NOW)
    note_progress(batch, messages=20)
    assert must_yield(batch, per_second=10, now=NOW)


def test_only_whom_it_would_help_is_made_room_for() -> None:
    batch = send(make_run(recipients=400, relay=make_relay()))
    note_progress(batch, messages=100)
    full = make_relay(connections=1)
    send(make_run(recipients=400, relay=full))
    make_run(recipients=400, relay=full)
    elsewhere = make_run(recipients=5, relay=make_relay())
    elsewhere.batches.update(not_before=NOW + timedelta(hours=1))
    note_progress(batch, messages=1)
    assert not must_yield(batch, per_second=1, now=NOW)
    elsewhere.batches.update(not_before=None)
    assert must_yield(batch, per_second=1, now=NOW)
    elsewhere.batches.update(rung_at=NOW, task_id="t")
    assert not must_yield(batch, per_second=1, now=NOW)  # a worker is about to take it
    assert must_yield(batch, per_second=1, now=NOW + timedelta(seconds=2))  # none was free
    Relay.objects.filter(pk=elsewhere.relay_id).update(paused_until=NOW + timedelta(hours=1))
    assert not must_yield(batch, per_second=1, now=NOW + timedelta(seconds=2))


def test_no_worker_is_given_up_for_a_slow_relay() -> None:
    batch = send(make_run(recipients=5))
    other = make_run(recipients=5)
    note_progress(batch, messages=100)
    assert must_yield(batch, per_second=1, now=NOW)
    Relay.objects.filter(pk=other.relay_id).update(slow_until=NOW + timedelta(minutes=1))
    assert not must_yield(batch, per_second=1, now=NOW)
    Run.objects.filter(pk=other.pk).update(relay=batch.relay)
    Batch.objects.filter(run=other).update(relay=batch.relay)
    assert must_yield(batch, per_second=1, now=NOW)  # it is the same


def test_urgent_mail_is_made_room_for_and_makes_none() -> None:
    relay = make_relay(connections=2)
    usual = send(make_run(recipients=400, relay=relay))
    urgent = send(make_run(recipients=400, relay=relay, urgent=True))
    note_progress(urgent, messages=200)
    assert must_yield(usual, per_second=10, now=NOW)
    assert not must_yield(urgent, per_second=10, now=NOW)


@pytest.mark.parametrize("urgent", [False, True])
def test_a_run_that_waits_to_be_prepared_is_made_room_for(*, urgent: bool) -> None:
    usual = send(make_run(recipients=5))
    busy = send(make_run(recipients=5, urgent=True))
    mailing = make_mailing(recipients=5, urgent=urgent)
    start_now(mailing, moment=NOW, trigger=Run.Trigger.COMMAND, by=None, now=NOW)
    later = NOW + timedelta(seconds=2)
    assert not must_yield(usual, per_second=10, now=later)  # nobody was told of it
    (bell, *_) = ringing.take_bells(now=NOW, processes=1)
    assert bell.work == "prepare"
    assert not must_yield(usual, per_second=10, now=NOW)  # a worker is about to take it
    assert must_yield(usual, per_second=10, now=later)  # none was free
    assert must_yield(busy, per_second=10, now=later) is urgent
    Run.objects.filter(pk=bell.pk).update(state=RunState.PREPARING)
    assert not must_yield(usual, per_second=10, now=later)  # somebody is at it


def test_a_run_that_has_to_wait_for_another_is_not() -> None:
    before = make_run(recipients=400)
    batch = send(before)
    later = NOW + timedelta(seconds=2)
    start_now(before.mailing, moment=later, trigger=Run.Trigger.COMMAND, by=None, now=later)
    assert [bell.work for bell in ringing.take_bells(now=later, processes=1)] == ["send"]
    assert not must_yield(batch, per_second=10, now=later + timedelta(seconds=2))


def test_many_who_wait_for_a_paused_relay_keep_nobody_else_from_being_rung(
    monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    monkeypatch.setattr(ringing, "QUEUE", 5)
    paused = make_relay(paused_until=NOW + timedelta(hours=1))
    for _ in range(10):
        make_run(recipients=1, relay=paused, urgent=True)
    other = make_run(recipients=1)
    with django_assert_max_num_queries(20):
        assert ring() == [other]
