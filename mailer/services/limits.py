"""How many messages a relay, or a provider, takes in any minute, hour or day; over all workers.

Whoever wants to send takes a turn first: so many messages, from when, until when. It is written
down in the row of the relay (and of the provider), which everybody locks for it. What was sent lies
in grains of a span's 240th, so the row stays small and a span a little too long, never too short.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import ceil, floor, log
from typing import Any

from django.db import transaction
from django.utils import timezone

from mailer.models import Batch, DomainLimit, Relay

SPANS = {"minute": 60, "hour": 3_600, "day": 86_400}  # seconds
_GRAINS = 240
#: A turn is over after so many seconds, or a 60th of the shortest span that is limited.
LONGEST_TURN = 5.0
#: A worker waits in place for a turn that begins so soon; for a later one it lets go of its batch.
PATIENCE = 5.0  # seconds
#: A turn is got ready so long before it begins. Were its first message late, those of the next
#: turn, in another process, would come too close behind its last.
LEAD = timedelta(seconds=0.05)
#: A little slower than the rate: two messages may be nearer at the relay than they were here.
STRETCH = 1.03

Used = dict[str, list[list[int]]]  # {"hour": [[grain, messages], ...]}, oldest first


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many messages in any `span`; `name` says which limit of several it is."""

    span: str
    messages: int
    name: str


@dataclass(frozen=True, slots=True)
class Turn:
    """`messages` may be sent from `start` on, none after `end`."""

    messages: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing may be sent before `until`."""

    until: datetime


def limits_of(relay: Relay, *, now: datetime) -> list[Limit]:
    """The relay's limits but for the one of a second, which is kept by waiting."""
    by_span = {
        "minute": relay.rate_per_minute,
        "hour": relay.rate_per_hour,
        "day": relay.rate_per_day,
    }
    limits = {span: Limit(span, number, span) for span, number in by_span.items() if number}
    warm_up = _warm_up_limit(relay, today=timezone.localdate(now))
    if warm_up and warm_up < (relay.rate_per_day or warm_up + 1):
        limits["day"] = Limit("day", warm_up, "warm-up")
    return list(limits.values())


def _warm_up_limit(relay: Relay, *, today: date) -> int | None:
    """How many the relay's warm-up plan allows on this day; None without one that still goes on."""
    if relay.warm_up_from is None or relay.warm_up_full is None:
        return None
    days = (today - relay.warm_up_from).days
    if not 0 <= days < warm_up_days(relay):
        return None
    return int(relay.warm_up_first * relay.warm_up_factor**days)


def warm_up_days(relay: Relay) -> int:
    """On how many days its warm-up plan limits a relay; 0 without one."""
    if relay.warm_up_from is None or relay.warm_up_full is None:
        return 0
    times = relay.warm_up_full / relay.warm_up_first
    return max(0, ceil(log(times) / log(relay.warm_up_factor)))


def warm_up_plan(relay: Relay, *, days: int) -> list[tuple[date, int]]:
    """(day, how many) of the first days of a relay's warm-up; [] without one."""
    plan = []
    for number in range(min(days, warm_up_days(relay))):
        day = (relay.warm_up_from or date.min) + timedelta(days=number)
        plan.append((day, _warm_up_limit(relay, today=day) or 0))
    return plan


def stop_waiting(relay_id: int) -> None:
    """After a change of its limits: the next turn finds out what holds now."""
    Relay.objects.filter(pk=relay_id).update(waits_until=None, waits_for="")


def limit_of(provider: DomainLimit) -> Limit:
    return Limit("minute", provider.per_minute, "provider")


def is_limited(batch: Batch, *, now: datetime) -> bool:
    """Whether a batch has to take turns at all."""
    relay = batch.relay
    return bool(relay.rate_per_second or batch.domain_limit_id or limits_of(relay, now=now))


def rates_of(batch: Batch, *, now: datetime) -> tuple[float | None, bool]:
    """What a worker goes by for the whole of a batch: its rate a second, whether it takes turns."""
    return batch.relay.rate_per_second, is_limited(batch, now=now)


@transaction.atomic
def take_turn(batch: Batch, *, messages: int, now: datetime, lag: float = 0) -> Turn | Later:
    """Reserve up to so many messages for a batch, or say when to come again. `lag` is how many
    seconds of its turn pass before it can send.

    The relay, or the provider, then waits until there is room for more than a few.
    """
    relay = Relay.objects.select_for_update(no_key=True).get(pk=batch.relay_id)
    provider = _lock_provider(batch)
    limits = limits_of(relay, now=now)
    start, interval = _next_start(relay, now=now)
    if (start - now).total_seconds() > PATIENCE:
        return _wait(relay, until=start, limit="second")
    length = _turn_length(limits, provider)
    if interval:
        messages = min(messages, max(1, floor(length / interval)))
    for limit in limits:
        room = room_for(limit, relay.used, at=start)
        if room < 1:
            until = _when_room(limit, relay.used, messages=messages)
            return _wait(relay, until=until, limit=limit.name)
        messages = min(messages, room)
    if provider is not None:
        of_provider = limit_of(provider)
        room = room_for(of_provider, provider.used, at=start)
        if room < 1:
            until = _when_room(of_provider, provider.used, messages=messages)
            DomainLimit.objects.filter(pk=provider.pk).update(waits_until=until)
            return Later(until)
        messages = min(messages, room)
    end = start + timedelta(seconds=lag + (messages * interval if interval else length))
    _write_down(relay, provider, limits, messages=messages, end=end)
    if interval:
        Relay.objects.filter(pk=relay.pk).update(reserved_until=end)
    return Turn(messages, start, end)


@transaction.atomic
def give_back(batch: Batch, turn: Turn, *, messages: int, now: datetime) -> None:
    """Free what was reserved by a turn and not sent."""
    relay = Relay.objects.select_for_update(no_key=True).get(pk=batch.relay_id)
    limits = limits_of(relay, now=now)
    _write_down(relay, _lock_provider(batch), limits, messages=-messages, end=turn.end)


def room_for(limit: Limit, used: Mapping[str, Iterable[list[int]]], *, at: datetime) -> int:
    """How many more may be sent in a turn that begins at this moment."""
    length, grain = _span(limit)
    since = at.timestamp() - length
    return limit.messages - sum(n for slot, n in used.get(limit.span, []) if slot * grain > since)


def _when_room(limit: Limit, used: Used, *, messages: int) -> datetime:
    """When there is room for a tenth of the limit, or for so many messages if they are fewer.

    Not for the first one: a batch would be taken up and let go of for each single message.
    """
    length, grain = _span(limit)
    wanted = min(messages, max(1, limit.messages // 10))
    left = limit.messages - sum(number for _slot, number in used[limit.span])
    last = 0
    for slot, number in used[limit.span]:
        left, last = left + number, slot
        if left >= wanted:
            break
    return datetime.fromtimestamp(last * grain + length, tz=UTC)


def _next_start(relay: Relay, *, now: datetime) -> tuple[datetime, float]:
    """When the rate of a second lets the next turn begin, and the seconds from message to
    message; (now, 0) without such a rate."""
    if not relay.rate_per_second:
        return now, 0.0
    interval = STRETCH / relay.rate_per_second
    free_from = relay.reserved_until
    if free_from is None or free_from < now - LEAD:
        free_from = now + LEAD
    # No further than all before us can have asked for: a clock that was set back must not stop the
    # relay for as long.
    longest = timedelta(seconds=relay.connections * max(LONGEST_TURN, interval))
    return min(max(now, free_from), now + longest), interval


def _turn_length(limits: list[Limit], provider: DomainLimit | None) -> float:
    spans = [SPANS[limit.span] for limit in limits] + [60] * (provider is not None)
    return min([LONGEST_TURN, *(span / 60 for span in spans)])


def _lock_provider(batch: Batch) -> DomainLimit | None:
    if batch.domain_limit_id is None:
        return None
    # After the relay, here and everywhere. Deleted meanwhile: no limit any more.
    return (
        DomainLimit.objects.select_for_update(no_key=True).filter(pk=batch.domain_limit_id).first()
    )


def _wait(relay: Relay, *, until: datetime, limit: str) -> Later:
    Relay.objects.filter(pk=relay.pk).update(waits_until=until, waits_for=limit)
    return Later(until)


def _write_down(
    relay: Relay, provider: DomainLimit | None, limits: list[Limit], *, messages: int, end: datetime
) -> None:
    """Add messages, or take them off again, at the last moment at which they may be sent."""
    if limits:
        for limit in limits:
            _add(relay.used, limit, messages=messages, end=end)
        spans = {limit.span for limit in limits}
        relay.used = {span: grains for span, grains in relay.used.items() if span in spans}
        Relay.objects.filter(pk=relay.pk).update(used=relay.used)
    if relay.waits_until:  # whatever it was told of: there is room, or more than was thought
        Relay.objects.filter(pk=relay.pk).update(waits_until=None, waits_for="")
    if provider is not None:
        _add(provider.used, limit_of(provider), messages=messages, end=end)
        DomainLimit.objects.filter(pk=provider.pk).update(used=provider.used, waits_until=None)


def _add(used: dict[str, Any], limit: Limit, *, messages: int, end: datetime) -> None:
    length, grain = _span(limit)
    slot = ceil(end.timestamp() / grain)
    # Twice the span: what a clock that was set back left behind is not kept for ever either.
    grains = {s: n for s, n in used.get(limit.span, []) if abs(slot - s) * grain <= 2 * length}
    grains[slot] = max(0, grains.get(slot, 0) + messages)
    used[limit.span] = [[s, n] for s, n in sorted(grains.items()) if n]


def _span(limit: Limit) -> tuple[int, float]:
    """Seconds of the span, and of a grain of it."""
    length = SPANS[limit.span]
    return length, length / _GRAINS
