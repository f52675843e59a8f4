"""The limits of relays and providers, against every window of time that they speak of."""

import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from math import ceil
from typing import Any

import pytest
from pytest_django import Settings

from mailer.engine.sender import Outcome
from mailer.models import Batch, DomainLimit, Relay
from mailer.services import control, ringing, sending, watch
from mailer.services.limits import limits_of, warm_up_days
from mailer.services.reserving import STRETCH, Later, Turn, give_back, take_turn
from mailer.services.turns import LEAD, Turns
from mailer.states import RunState
from mailer.tests.factories import (
    NOW,
    make_list,
    make_recipient,
    make_relay,
    make_run,
    subscribe,
)
from mailer.tests.ledger import Engine, check_invariants
from mailer.tests.spans import most_in

pytestmark = [pytest.mark.database, pytest.mark.django_db]

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def make_batch(**fields: Any) -> Batch:
    return make_run(recipients=1, relay=make_relay(**fields)).batches.get()


def work(now: datetime) -> None:
    """What two workers do who are rung for once."""
    for bell in ringing.take_bells(now=now, processes=2):
        sending.send_batch(
            bell.pk, task_id="t", worker="w", clock=lambda: now, stopping=lambda: False
        )


def simulate(
    batch: Batch,
    *,
    hours: float,
    ask: Callable[[], int],
    used: Callable[[int], int] = lambda messages: messages,
    pause: Callable[[], float] = random.random,
) -> list[float]:
    """When messages left, in seconds from the beginning, while somebody wants a turn `pause`
    seconds after the last."""
    now, end, sent = NOW, NOW + timedelta(hours=hours), []
    rate = batch.relay.rate_per_second
    while now < end:
        turn = take_turn(batch, messages=ask(), now=now)
        if isinstance(turn, Later):
            assert turn.until > now
            now = turn.until
            continue
        messages = used(turn.messages)
        since = (turn.start - NOW).total_seconds()
        length = (turn.end - turn.start).total_seconds()
        if rate:
            sent += [since + n * length / turn.messages for n in range(messages)]
        else:  # at any moment of the turn
            sent += sorted(since + random.random() * length for _ in range(messages))
        if messages < turn.messages:
            give_back(batch, turn, messages=turn.messages - messages, now=turn.end)
        now = turn.start if rate else now + timedelta(seconds=pause())
    return sorted(sent)


@pytest.mark.parametrize(
    ("limits", "hours"),
    [
        ({"second": 7.5}, 0.02),
        ({"minute": 30}, 0.1),
        ({"minute": 1}, 0.1),
        ({"minute": 60, "hour": 200}, 3.2),
        ({"second": 1, "hour": 200}, 2.5),
        ({"hour": 30, "day": 100}, 60),
        ({"day": 50}, 80),
    ],
)
def test_no_window_has_more_than_its_limit_and_95_percent_are_used(
    limits: dict[str, float], hours: float
) -> None:
    random.seed(5)
    fields = {f"rate_per_{span}": number for span, number in limits.items()}
    batch = make_batch(**fields)
    sent = simulate(batch, hours=hours, ask=lambda: random.randint(1, 50))
    for span, number in limits.items():
        assert most_in(sent, SECONDS[span]) <= ceil(number)
    # The longest span is the tightest; what is left of the last one does not count.
    span, number = list(limits.items())[-1]
    whole = int(hours * 3600 / SECONDS[span])
    within = [moment for moment in sent if moment < whole * SECONDS[span]]
    if number >= 30:  # one message is more than 5 percent of fewer
        assert len(within) >= 0.95 * number * whole


def test_who_comes_now_and_then_finds_no_more_room_than_there_is() -> None:
    random.seed(7)
    sent = simulate(
        make_batch(rate_per_hour=100),
        hours=24,
        ask=lambda: random.randint(1, 30),
        pause=lambda: random.uniform(0, 900),
    )
    assert most_in(sent, 3600) <= 100
    assert len(sent) >= 0.5 * 24 * 100


def test_what_was_not_sent_is_free_again() -> None:
    random.seed(6)
    batch = make_batch(rate_per_hour=100)
    sent = simulate(batch, hours=3, ask=lambda: 20, used=lambda messages: (messages + 1) // 2)
    assert most_in(sent, 3600) <= 100
    assert len(sent) >= 0.95 * 300


def test_a_wait_is_over_when_there_is_room_for_more_than_a_few() -> None:
    batch = make_batch(rate_per_hour=100)
    for minute in range(100):
        turn = take_turn(batch, messages=1, now=NOW + timedelta(minutes=minute / 10))
        assert isinstance(turn, Turn)
    later = take_turn(batch, messages=50, now=NOW + timedelta(minutes=10))
    assert isinstance(later, Later)
    # The tenth of them, and a grain.
    assert NOW + timedelta(minutes=60.9) < later.until < NOW + timedelta(minutes=61.2)
    relay = Relay.objects.get(pk=batch.relay_id)
    assert (relay.waits_until, relay.waits_for) == (later.until, "hour")
    assert isinstance(take_turn(batch, messages=50, now=later.until), Turn)
    relay.refresh_from_db()
    assert relay.waits_until is None


def test_a_clock_that_was_set_back_does_not_stop_a_relay_for_as_long() -> None:
    batch = make_batch(rate_per_second=10, connections=2)
    take_turn(batch, messages=10, now=NOW + timedelta(hours=1))
    turn = take_turn(batch, messages=10, now=NOW)
    until = turn.start if isinstance(turn, Turn) else turn.until
    assert until <= NOW + timedelta(seconds=10)


def test_warming_up_lets_more_through_each_day_until_it_is_through() -> None:
    relay = make_relay(
        warm_up_from=date(2026, 11, 23), warm_up_first=50, warm_up_factor=2, warm_up_full=1000
    )
    allowed = [
        [limit.messages for limit in limits_of(relay, now=NOW + timedelta(days=day - 1))]
        for day in range(8)
    ]
    # Before its first day the server is no better known than on that.
    assert allowed == [[50], [50], [100], [200], [400], [800], [], []]


def test_a_warm_up_beside_a_limit_a_day_is_the_lower_of_the_two() -> None:
    relay = make_relay(
        rate_per_day=300, warm_up_from=NOW.date(), warm_up_first=50, warm_up_factor=10,
        warm_up_full=10_000,
    )  # fmt: skip
    names = [
        [(limit.name, limit.messages) for limit in limits_of(relay, now=NOW + day)]
        for day in (timedelta(0), timedelta(1), timedelta(9))
    ]
    assert names == [[("warm-up", 50)], [("day", 300)], [("day", 300)]]


@pytest.mark.parametrize(
    ("also", "hour", "minute", "more"),
    [
        ({}, 0, 0, 50),  # 100 on the second day, and 50 of them are used
        ({"warm_up_full": 80}, 0, 0, 1000),  # it is over by then
        ({"warm_up_full": 80, "rate_per_day": 60}, 0, 0, 10),
        ({"warm_up_factor": 1.01}, 22, 6, 50),  # as many on the second day: they have to age
    ],
)
def test_a_warm_up_goes_on_at_midnight(
    also: dict[str, Any], hour: int, minute: int, more: int
) -> None:
    plan = {"warm_up_first": 50, "warm_up_factor": 2.0, "warm_up_full": 300}
    batch = make_batch(warm_up_from=NOW.date(), **plan | also)
    evening = NOW.replace(hour=22)
    turn = take_turn(batch, messages=200, now=evening)
    assert isinstance(turn, Turn)
    assert turn.messages == 50
    later = take_turn(batch, messages=1000, now=evening + timedelta(minutes=1))
    assert isinstance(later, Later)
    tomorrow = NOW + timedelta(days=1)
    assert later.until == tomorrow.replace(hour=hour, minute=minute)
    relay = Relay.objects.get(pk=batch.relay_id)
    assert (relay.waits_until, relay.waits_for) == (later.until, "warm-up")
    turn = take_turn(batch, messages=1000, now=later.until)
    assert isinstance(turn, Turn)
    assert turn.messages == more


def test_midnight_is_that_of_the_sites_time_zone(settings: Settings) -> None:
    settings.TIME_ZONE = "America/Los_Angeles"
    relay = make_relay(warm_up_from=date(2026, 11, 22), warm_up_full=300)
    (limit,) = limits_of(relay, now=NOW)  # there it is 5 in the afternoon, the day before
    assert (limit.messages, limit.grows_to) == (50, 75)
    assert limit.grows_at == NOW + timedelta(hours=7)


def test_a_run_waits_for_an_hourly_limit_and_goes_on_where_it_stopped(engine: Engine) -> None:
    run = make_run(recipients=30, relay=make_relay(rate_per_hour=12))
    sent = []
    for minutes in (0, 1, 30, 61.1, 62, 123, 124):
        work(NOW + timedelta(minutes=minutes))
        run.refresh_from_db()
        sent.append(run.sent)
    assert sent == [12, 12, 12, 24, 24, 30, 30]
    check_invariants(run, taken=engine.taken)
    assert run.state == RunState.FINISHED


def test_a_provider_that_is_full_holds_up_nobody_else(engine: Engine) -> None:
    limit = DomainLimit.objects.create(name="Big", domains="big.example\nb.example", per_minute=10)
    people = make_list()
    for number in range(60):
        domain = ("big.example", "small.example", "b.example", "other.example")[number % 4]
        subscribe(make_recipient(f"p{number}@{domain}"), people)
    run = make_run(lists=[people])
    by_provider = {
        batch.domain_limit_id: batch.size for batch in run.batches.filter(domain_limit=None)
    }
    assert by_provider == {None: 30}
    assert sum(batch.size for batch in run.batches.filter(domain_limit=limit)) == 30
    sent = []
    for seconds in (0, 30, 61, 65, 122.5, 125):
        for _ in range(4):
            work(NOW + timedelta(seconds=seconds))
        of_provider = [address for address in engine.taken if "b" in address.split("@")[1][0]]
        sent.append((len(engine.taken) - len(of_provider), len(of_provider)))
    assert sent == [(30, 10), (30, 10), (30, 20), (30, 20), (30, 30), (30, 30)]
    check_invariants(run, taken=engine.taken)


def test_retries_to_a_provider_wait_for_it_as_well() -> None:
    limit = DomainLimit.objects.create(name="Big", domains="big.example", per_minute=10)
    people = make_list()
    for domain in ("big.example", "small.example"):
        subscribe(make_recipient(f"somebody@{domain}"), people)
    run = make_run(lists=[people])
    run.batches.update(state="done")
    run.deliveries.update(state="failed", problem="550")
    type(run).objects.filter(pk=run.pk).update(pending=0, failed=2)
    control.retry_failed(run.pk, by=None, now=NOW)
    again = run.batches.filter(state="ready").values_list("domain_limit", "first_seq", "last_seq")
    assert sorted(pk or 0 for pk, _first, _last in again) == [0, limit.pk]


def test_a_turn_whose_wait_is_given_up_is_given_back() -> None:
    batch = make_batch(rate_per_second=1, rate_per_hour=100)
    first = take_turn(batch, messages=3, now=NOW)
    assert isinstance(first, Turn)
    turns = Turns(batch, clock=lambda: NOW)
    assert turns.take(2, lambda: False) == 0
    turns.end(attempted=0)
    used = Relay.objects.get(pk=batch.relay_id).used["hour"]
    assert sum(number for _grain, number in used) == 3


def test_a_turn_is_got_ready_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = make_batch(rate_per_second=1)
    before = take_turn(batch, messages=3, now=NOW)
    assert isinstance(before, Turn)
    assert before.start == NOW + LEAD
    now = NOW

    def sleep(seconds: float) -> None:
        nonlocal now
        now += timedelta(seconds=seconds)

    monkeypatch.setattr("mailer.services.turns.time.sleep", sleep)
    turns = Turns(batch, clock=lambda: now)
    assert turns.take(1, lambda: True) == 1
    assert now == before.end - LEAD
    turns.begin(lambda: True)
    assert now == before.end


def test_a_warm_up_that_takes_years_ends_when_it_is_full() -> None:
    relay = make_relay(
        warm_up_from=NOW.date(), warm_up_first=50, warm_up_factor=1.01, warm_up_full=1_000_000
    )
    assert warm_up_days(relay) == 996
    last, over = (NOW + timedelta(days=days) for days in (995, 996))
    assert limits_of(relay, now=last)[0].messages < 1_000_000
    assert limits_of(relay, now=over) == []


def test_what_is_given_back_ends_the_wait_of_others() -> None:
    batch = make_batch(rate_per_day=10)
    turn = take_turn(batch, messages=10, now=NOW)
    assert isinstance(turn, Turn)
    assert isinstance(take_turn(batch, messages=5, now=NOW), Later)
    give_back(batch, turn, messages=8, now=NOW)
    assert Relay.objects.get(pk=batch.relay_id).waits_until is None
    again = take_turn(batch, messages=20, now=NOW)
    assert isinstance(again, Turn)
    assert again.messages == 8


def test_a_limit_that_is_deleted_while_it_is_used_loses_nothing(engine: Engine) -> None:
    limit = DomainLimit.objects.create(name="Big", domains="big.example", per_minute=100)
    people = make_list()
    for number in range(20):
        subscribe(make_recipient(f"p{number}@big.example"), people)
    run = make_run(lists=[people])

    def delete(message: Any) -> Outcome:
        if message.seq == 5:
            limit.delete()
            control.pause_run(run.pk, by=None, now=NOW)
        return Outcome.SENT

    engine.script = delete
    work(NOW)
    control.resume_run(run.pk, by=None, now=NOW)
    work(NOW)
    check_invariants(run, taken=engine.taken)
    assert run.sent == 20


def test_a_limit_that_is_set_meanwhile_holds_from_then_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0)
    run = make_run(recipients=30)

    def limit(message: Any) -> Outcome:
        if message.seq == 5:
            Relay.objects.update(rate_per_hour=10)
        return Outcome.SENT

    engine.script = limit
    work(NOW)
    assert len(engine.taken) == 5
    work(NOW)
    work(NOW)
    assert len(engine.taken) == 15
    check_invariants(run, taken=engine.taken)


def test_the_end_of_a_batch_takes_no_turn() -> None:
    batch = make_batch(rate_per_second=10, rate_per_hour=100)
    turns = Turns(batch, clock=lambda: NOW)
    assert turns.take(0, lambda: True) == 0
    relay = Relay.objects.get(pk=batch.relay_id)
    assert (relay.reserved_until, relay.used) == (None, {})


class Sleeper:
    """A clock that only sleeping moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOW
        monkeypatch.setattr("mailer.services.turns.time.sleep", self.sleep)

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.mark.parametrize("by_provider", [True, False])
def test_a_worker_waits_in_place_for_a_relay_but_for_no_provider(
    monkeypatch: pytest.MonkeyPatch, *, by_provider: bool
) -> None:
    batch = make_batch(**({} if by_provider else {"rate_per_minute": 1}))
    if by_provider:
        batch.domain_limit = DomainLimit.objects.create(name="B", domains="b.example", per_minute=1)
    assert isinstance(take_turn(batch, messages=1, now=NOW), Turn)
    clock = Sleeper(monkeypatch)
    clock.now = near = NOW + timedelta(seconds=58)
    taken = Turns(batch, clock=clock).take(1, lambda: True)
    assert (taken, clock.now == near) == ((0, True) if by_provider else (1, False))


def test_a_turn_is_longer_by_what_the_last_one_lost_at_its_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = make_batch(rate_per_second=10)
    clock = Sleeper(monkeypatch)
    turns, ends = Turns(batch, clock=clock), []
    for late in (0.2, 0):
        assert turns.take(5, lambda: True) == 5
        ends.append(Relay.objects.get(pk=batch.relay_id).reserved_until)
        clock.sleep(LEAD.total_seconds() + late)
        turns.begin(lambda: True)
    second = (ends[1] - ends[0]).total_seconds()
    assert second == pytest.approx(5 * STRETCH / 10 + 0.2)
