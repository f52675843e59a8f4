"""A relay's connections are its owner's limit, whatever is paused, cancelled and resumed."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from pytest_django import Settings

from mailer.models import Batch, Relay, Run
from mailer.services import content, control, ringing
from mailer.services.claiming import Claim, claim_batch
from mailer.services.relays import hold_run
from mailer.states import BatchState
from mailer.tests.factories import NOW, make_relay, make_run
from mailer.tests.threads import together

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _small(settings: Settings) -> None:
    settings.MAILER_BATCH_SIZE = 2


def pause(run: Run) -> None:
    control.pause_run(run.pk, by=None, now=NOW)


def cancel(run: Run) -> None:
    control.cancel_run(run.pk, by=None, now=NOW)


def hold(run: Run) -> None:
    hold_run(run.pk, reason="refused", now=NOW)


def claim(batch_id: int, processes: int = 1) -> Claim | None:
    return claim_batch(batch_id, task_id="t", worker="w", now=NOW, processes=processes)


def ring(processes: int = 8) -> list[int]:
    return [bell.pk for bell in ringing.take_bells(now=NOW, processes=processes)]


@pytest.mark.parametrize("stop", [pause, cancel, hold])
def test_a_batch_on_the_wire_counts_whatever_became_of_its_run(stop: Callable[[Run], None]) -> None:
    relay = make_relay(connections=1)
    stopped = make_run(recipients=6, relay=relay)
    assert claim(ring()[0])
    stop(stopped)
    make_run(recipients=6, relay=relay)
    assert ring() == []


def test_it_holds_its_process_as_well() -> None:
    paused = make_run(recipients=6)
    on_the_wire = [claim(pk) for pk in ring(processes=1)]
    assert len(on_the_wire) == 2
    pause(paused)
    make_run(recipients=6)
    assert ring(processes=1) == []


def test_what_was_rung_before_a_pause_finds_its_place_taken_and_is_rung_again() -> None:
    relay = make_relay(connections=1)
    first = make_run(recipients=2, relay=relay)
    rung = ring()
    pause(first)
    make_run(recipients=2, relay=relay)
    rung += ring()  # the first bell lies in the queue all the while
    assert len(rung) == 2
    control.resume_run(first.pk, by=None, now=NOW)
    assert claim(rung[1])
    assert claim(rung[0]) is None
    assert ring() == []
    Batch.objects.filter(pk=rung[1]).update(
        state=BatchState.DONE, token=None, lease_until=None, finished_at=NOW
    )
    assert ring() == [rung[0]]  # at once, not after a lease
    assert claim(rung[0])


def test_many_who_claim_at_once_take_no_more_than_there_is_room_for() -> None:
    run = make_run(recipients=12, relay=make_relay(connections=8))
    rung = ring()
    assert len(rung) == 6
    Relay.objects.update(connections=2)  # staff were told of a lower limit meanwhile
    waiting = iter(rung)
    claims = together(lambda: claim(next(waiting)), threads=6)
    assert len([taken for taken in claims if taken]) == 2
    assert run.batches.filter(state=BatchState.SENDING).count() == 2


def test_a_bell_that_was_given_up_for_lost_takes_no_place_either() -> None:
    relay = make_relay(connections=1)
    make_run(recipients=2, relay=relay)
    late = ring()
    second = make_run(recipients=2, relay=relay)
    Batch.objects.filter(run=second).update(rung_at=None)
    Batch.objects.filter(pk__in=late).update(rung_at=NOW - timedelta(hours=1))
    assert claim(second.batches.get().pk)
    assert claim(late[0]) is None


SLOW = {"slow_until": NOW + timedelta(minutes=1)}


@pytest.mark.parametrize(
    ("fields", "processes", "rung"),
    [({}, 3, 4), (SLOW, 3, 2), (SLOW, 2, 1), (SLOW, 1, 1), ({"slow_until": NOW}, 3, 4)],
)
def test_a_slow_relay_is_not_given_the_last_process(
    fields: dict[str, object], processes: int, rung: int
) -> None:
    make_run(recipients=40, relay=make_relay(**fields))
    assert len(ring(processes)) == rung
    other = make_run(recipients=2)
    assert ring(processes) == [other.batches.get().pk]


def test_nor_are_two_of_them_together() -> None:
    for _ in range(2):
        make_run(recipients=40, relay=make_relay(**SLOW))
    assert len(ring(processes=4)) == 3


def test_what_was_rung_before_the_relay_was_slow_leaves_the_last_process_alone() -> None:
    run = make_run(recipients=8)
    rung = ring(processes=3)
    assert len(rung) == 4
    Relay.objects.update(**SLOW)
    assert [bool(claim(pk, processes=3)) for pk in rung] == [True, True, False, False]
    assert run.batches.filter(state=BatchState.READY, rung_at=None).count() == 2
    assert ring(processes=3) == []


@pytest.mark.parametrize(
    ("processes", "connections", "kept"), [(1, 4, True), (3, 1, True), (4, 1, True), (5, 1, False)]
)
def test_processes_share_the_relays_connections(
    processes: int, connections: int, *, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr(content, "Sender", lambda *_, **options: asked.update(options))
    run = make_run(recipients=1)
    content.open_sender(run, run.batches.get().relay, processes=processes)
    assert asked["connections"] == connections
    assert bool(asked["kept"]) is kept
