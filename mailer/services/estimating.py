"""How long mail takes under the limits of its relays and providers, before and while it is sent.

Without a limit nobody knows: it goes as fast as the relay takes it.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from django.db.models import Count

from mailer.models import Mailing, Relay, Run

from .audience import recipients_of
from .limits import SPANS, Limit, limit_of, limits_of, when_open
from .providers import limits_by_domain
from .reserving import STRETCH
from .shares import freeze_shares, split_by_share

#: Nobody plans further ahead.
LONGEST = 366  # days


def estimate_mailing(mailing: Mailing, *, recipients: int, now: datetime) -> timedelta | None:
    """How long a run to so many people takes at least; None where no limit is in the way."""
    run = Run(relay_id=mailing.relay_id, shares=freeze_shares(mailing))
    return _longest(
        estimate_rest(run, messages=recipients, now=now), _at_providers(mailing, now=now)
    )


def estimate_rest(run: Run, *, messages: int, now: datetime) -> timedelta | None:
    """How long so many messages of a run take under its relays' limits; None without any."""
    parts = dict(split_by_share(run, count=messages))
    relays = Relay.objects.in_bulk(parts)
    return _longest(*(_through(relays[pk], messages=part, now=now) for pk, part in parts.items()))


def _through(relay: Relay, *, messages: int, now: datetime) -> timedelta | None:
    limits = [limit for limit in limits_of(relay, now=now) if limit.span != "day"]
    spans = [
        *(_under(limit, relay.used, messages=messages, now=now) for limit in limits),
        _day_by_day(relay, messages=messages, now=now),
    ]
    if relay.rate_per_second:
        spans.append(timedelta(seconds=messages * STRETCH / relay.rate_per_second))
    return _longest(*spans)


def _under(
    limit: Limit, used: dict[str, list[list[int]]], *, messages: int, now: datetime
) -> timedelta:
    """Room opens as what was used ages, for a limit's number in a span; and so in each span."""
    spans, last = divmod(messages - 1, limit.messages)
    opens = when_open(limit, used, messages=last + 1)
    return timedelta(seconds=SPANS[limit.span] * spans) + max(timedelta(0), opens - now)


def _day_by_day(relay: Relay, *, messages: int, now: datetime) -> timedelta | None:
    """Under the limit of a day, which a warm-up raises at each midnight. What was used opens again
    every 24 hours; what came on top at a midnight, at the later ones."""
    today = _limit_a_day(relay, now=now)
    if today is None:
        return None
    rest = messages
    for day in range(LONGEST):
        limit = _limit_a_day(relay, now=now + timedelta(days=day)) or today
        most = limit.grows_to if limit.grows_at else limit.messages
        if most is None or rest <= most:
            limit = replace(today, grows_to=most)
            opens = when_open(limit, relay.used, messages=rest)
            return timedelta(days=day) + max(timedelta(0), opens - now)
        rest -= most
    return timedelta(days=LONGEST)


def _limit_a_day(relay: Relay, *, now: datetime) -> Limit | None:
    return next((limit for limit in limits_of(relay, now=now) if limit.span == "day"), None)


def _at_providers(mailing: Mailing, *, now: datetime) -> timedelta | None:
    limits = limits_by_domain()
    if not limits:
        return None
    people = recipients_of(mailing).filter(domain__in=limits)
    messages: dict[int, int] = {}
    for domain, number in people.values_list("domain").annotate(Count("pk")):
        pk = limits[domain].pk
        messages[pk] = messages.get(pk, 0) + number
    known = {limit.pk: limit for limit in limits.values()}
    return _longest(
        *(
            _under(limit_of(known[pk]), known[pk].used, messages=number, now=now)
            for pk, number in messages.items()
        )
    )


def _longest(*spans: timedelta | None) -> timedelta | None:
    known = [span for span in spans if span is not None]
    return max(known, default=None)
