"""Reserving turns at a relay, and at a provider, so that limits hold over all workers.

Whoever wants to send takes a turn first: so many messages, from when, until when. It is written
down in the row of the relay (and of the provider), which everybody locks for it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor

from django.db import transaction

from mailer.models import Batch, DomainLimit, Relay

from .limits import SPANS, Limit, add_used, limit_of, limits_of, room_for, when_room

#: A turn is over after so many seconds, or a 60th of the shortest span that is limited.
LONGEST_TURN = 5.0
#: A worker waits in place for a turn that begins so soon; for a later one it lets go of its batch.
PATIENCE = 5.0  # seconds
#: A turn is got ready so long before it begins. Were its first message late, those of the next
#: turn, in another process, would come too close behind its last.
LEAD = timedelta(seconds=0.05)
#: A little slower than the rate: two messages may be nearer at the relay than they were here.
STRETCH = 1.03


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
            until = when_room(limit, relay.used, messages=messages)
            return _wait(relay, until=until, limit=limit.name)
        messages = min(messages, room)
    if provider is not None:
        of_provider = limit_of(provider)
        room = room_for(of_provider, provider.used, at=start)
        if room < 1:
            until = when_room(of_provider, provider.used, messages=messages)
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


def stop_waiting(relay_id: int) -> None:
    """After a change of its limits: the next turn finds out what holds now."""
    Relay.objects.filter(pk=relay_id).update(waits_until=None, waits_for="")


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
            add_used(relay.used, limit, messages=messages, end=end)
        spans = {limit.span for limit in limits}
        relay.used = {span: grains for span, grains in relay.used.items() if span in spans}
        Relay.objects.filter(pk=relay.pk).update(used=relay.used)
    if relay.waits_until:  # whatever it was told of: there is room, or more than was thought
        Relay.objects.filter(pk=relay.pk).update(waits_until=None, waits_for="")
    if provider is not None:
        add_used(provider.used, limit_of(provider), messages=messages, end=end)
        DomainLimit.objects.filter(pk=provider.pk).update(used=provider.used, waits_until=None)
