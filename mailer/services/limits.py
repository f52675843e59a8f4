"""How many messages a relay, or a provider, takes in a minute, hour or day, and what is left of it.

What was sent lies in grains of a span's 240th, so that a relay's row stays small and a span is a
little too long, never too short.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import ceil, log
from typing import Any

from django.utils import timezone

from mailer.models import Batch, DomainLimit, Relay

SPANS = {"minute": 60, "hour": 3_600, "day": 86_400}  # seconds
_GRAINS = 240

Used = dict[str, list[list[int]]]  # {"hour": [[grain, messages], ...]}, oldest first


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many messages in any `span`; `name` says which limit of several it is.

    A warm-up's is `grows_to` from `grows_at` on; None then for no limit.
    """

    span: str
    messages: int
    name: str
    grows_at: datetime | None = None
    grows_to: int | None = None


def limits_of(relay: Relay, *, now: datetime) -> list[Limit]:
    """The relay's limits but for the one of a second, which is kept by waiting."""
    by_span = {
        "minute": relay.rate_per_minute,
        "hour": relay.rate_per_hour,
        "day": relay.rate_per_day,
    }
    limits = {span: Limit(span, number, span) for span, number in by_span.items() if number}
    today = timezone.localdate(now)
    warm_up = _warm_up_limit(relay, today=today)
    if warm_up and warm_up < (relay.rate_per_day or warm_up + 1):
        tomorrow = today + timedelta(days=1)
        then = [_warm_up_limit(relay, today=tomorrow), relay.rate_per_day]
        limits["day"] = Limit(
            "day",
            warm_up,
            "warm-up",
            grows_at=datetime.combine(tomorrow, time.min, tzinfo=timezone.get_current_timezone()),
            grows_to=min((number for number in then if number), default=None),
        )
    return list(limits.values())


def _warm_up_limit(relay: Relay, *, today: date) -> int | None:
    """How many the relay's warm-up plan allows on this day; None without one that still goes on.
    Before its first day the server is as new as on that."""
    if relay.warm_up_from is None or relay.warm_up_full is None:
        return None
    days = max(0, (today - relay.warm_up_from).days)
    if days >= warm_up_days(relay):
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


def limit_of(provider: DomainLimit) -> Limit:
    return Limit("minute", provider.per_minute, "provider")


def is_limited(batch: Batch, *, now: datetime) -> bool:
    """Whether a batch has to take turns at all."""
    relay = batch.relay
    return bool(relay.rate_per_second or batch.domain_limit_id or limits_of(relay, now=now))


def rates_of(batch: Batch, *, now: datetime) -> tuple[float | None, bool]:
    """What a worker goes by for the whole of a batch: its rate a second, whether it takes turns."""
    return batch.relay.rate_per_second, is_limited(batch, now=now)


def room_for(limit: Limit, used: Mapping[str, Iterable[list[int]]], *, at: datetime) -> int:
    """How many more may be sent in a turn that begins at this moment."""
    length, grain = _span(limit)
    since = at.timestamp() - length
    return limit.messages - sum(n for slot, n in used.get(limit.span, []) if slot * grain > since)


def when_room(limit: Limit, used: Used, *, messages: int) -> datetime:
    """When there is room for a tenth of the limit, or for so many messages if they are fewer.

    Not for the first one: a batch would be taken up and let go of for each single message.
    """
    return when_open(limit, used, messages=min(messages, max(1, limit.messages // 10)))


def when_open(limit: Limit, used: Used, *, messages: int) -> datetime:
    """When there is room for so many, if none is sent before that: long ago, where there is some
    already; never (datetime.max), where they are more than the limit."""
    opens = _when_aged(limit, used, messages=messages)
    if limit.grows_at is None:
        return opens
    more = messages if limit.grows_to is None else limit.grows_to - limit.messages
    return min(opens, max(limit.grows_at, _when_aged(limit, used, messages=messages - more)))


def _when_aged(limit: Limit, used: Used, *, messages: int) -> datetime:
    length, grain = _span(limit)
    grains = used.get(limit.span, [])
    left = limit.messages - sum(number for _slot, number in grains)
    moment = datetime.min.replace(tzinfo=UTC)
    for slot, number in grains:
        if left >= messages:
            break
        left, moment = left + number, datetime.fromtimestamp(slot * grain + length, tz=UTC)
    return moment if left >= messages else datetime.max.replace(tzinfo=UTC)


def add_used(used: dict[str, Any], limit: Limit, *, messages: int, end: datetime) -> None:
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
