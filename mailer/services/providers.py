"""Which limited provider an address is at, so that batches hold mail to one of them alone.

A provider whose minute is used up then holds up its own batches, and nobody else's. What holds is
what stands in the admin when batches are made; later changes are for later runs and retries.
"""

from collections.abc import Iterator

from django.db.models import Count

from mailer.models import Delivery, DomainLimit, Run

#: Providers first: theirs takes longest.
_LAST = 2**62


def limits_by_domain() -> dict[str, DomainLimit]:
    limits = DomainLimit.objects.order_by("pk")
    return {domain: limit for limit in limits for domain in limit.domain_list}


def order_by_provider(domain: str) -> tuple[str, dict[str, str | int]]:
    """SQL that sorts rows by their provider, given the SQL of their domain; and its parameters.

    Empty where there is no limit.
    """
    values: dict[str, str | int] = {}
    whens = []
    for number, (name, limit) in enumerate(sorted(limits_by_domain().items())):
        values |= {f"domain{number}": name, f"limit{number}": limit.pk}
        whens.append(f"WHEN %(domain{number})s THEN CAST(%(limit{number})s AS bigint)")
    if not whens:
        return "", {}
    return f"CASE {domain} {' '.join(whens)} ELSE {_LAST} END, ", values


def parts_by_provider(run: Run) -> Iterator[tuple[DomainLimit | None, int]]:
    """(the limit, how many) of a run's deliveries in the order that order_by_provider gave them."""
    limits = limits_by_domain()
    rest = run.total
    if limits:
        limited = Delivery.objects.filter(run=run, domain__in=limits).order_by()
        by_limit: dict[int, int] = {}
        for domain, number in limited.values_list("domain").annotate(Count("pk")):
            pk = limits[domain].pk
            by_limit[pk] = by_limit.get(pk, 0) + number
        known = {limit.pk: limit for limit in limits.values()}
        for pk, number in sorted(by_limit.items()):
            yield known[pk], number
            rest -= number
    if rest:
        yield None, rest
