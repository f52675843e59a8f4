"""What a worker notices in the middle of a window, which may take as long as the relay likes."""

from datetime import datetime, timedelta

import pytest
from django.conf import settings

from mailer.models import Relay, Run
from mailer.services import watch
from mailer.services.claiming import claim_batch
from mailer.services.relays import SLOW_FOR
from mailer.services.watch import Watch
from mailer.tests.factories import NOW, make_relay, make_run

pytestmark = [pytest.mark.database, pytest.mark.django_db]


class Clock:
    """Seconds since the batch was begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        monkeypatch.setattr(watch.time, "monotonic", lambda: self.seconds)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def watch_over(run: Run, clock: Clock, *, processes: int = 1) -> Watch:
    claim = claim_batch(
        run.batches.get().pk, task_id="t", worker="w", now=clock.now(), processes=processes
    )
    assert claim is not None
    return Watch(claim, clock=clock.now, per_second=1, processes=processes)


def is_halted_at(seen: Watch, clock: Clock, seconds: float) -> bool:
    clock.seconds = seconds
    return seen.is_halted()


def test_a_batch_is_given_back_while_its_first_window_is_on_the_way(clock: Clock) -> None:
    relay = make_relay(connections=1)
    seen = watch_over(make_run(relay=relay), clock)
    make_run(relay=relay, urgent=True)
    seen.open_window([])
    assert not is_halted_at(seen, clock, 1.5)
    assert is_halted_at(seen, clock, 3)


def test_a_relay_that_says_nothing_for_long_is_slow_for_some_time(clock: Clock) -> None:
    run = make_run()
    seen, results = watch_over(run, clock), list[int]()

    def slow_until() -> datetime | None:
        return Relay.objects.values_list("slow_until", flat=True).get()

    is_halted_at(seen, clock, 30)  # it waits for its turn
    seen.open_window(results)
    is_halted_at(seen, clock, 39)
    results.append(1)
    is_halted_at(seen, clock, 41)
    is_halted_at(seen, clock, 50)
    assert slow_until() is None
    is_halted_at(seen, clock, 51)
    assert slow_until() == NOW + timedelta(seconds=51) + SLOW_FOR
    # Told to stop, it still waits for the answer.
    clock.seconds = settings.MAILER_BATCH_SECONDS + 60
    assert seen.is_halted()
    assert slow_until() == clock.now() + SLOW_FOR


def test_a_batch_that_waits_for_its_turn_is_not_given_back_before_it_has_sent(
    clock: Clock,
) -> None:
    relay = make_relay(connections=1)
    seen = watch_over(make_run(relay=relay), clock)
    make_run(relay=relay, urgent=True)
    assert not is_halted_at(seen, clock, 4)
    seen.open_window([])
    assert not is_halted_at(seen, clock, 4.5)
    assert is_halted_at(seen, clock, 6)


def test_of_all_processes_at_relays_that_became_slow_the_last_is_given_back(clock: Clock) -> None:
    one, other, fast = make_relay(connections=4), make_relay(), make_relay()
    runs = [make_run(relay=one), make_run(relay=one), make_run(relay=other), make_run(relay=fast)]
    seen = []
    for run in runs:
        clock.seconds += 0.1
        seen.append(watch_over(run, clock, processes=4))
    assert not any(is_halted_at(batch, clock, 3) for batch in seen)
    Relay.objects.exclude(pk=fast.pk).update(slow_until=NOW + SLOW_FOR)
    # Three of four may be slow ones: the fourth is elsewhere already.
    assert not any(is_halted_at(batch, clock, 5) for batch in seen)
    for batch in seen:
        batch._processes = 3
    assert [is_halted_at(batch, clock, 7) for batch in seen] == [False, False, True, False]
