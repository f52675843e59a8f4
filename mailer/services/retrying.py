"""Trying deliveries again: what became of them so far is kept, then they wait at the tail."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from admin_ext.components.numbers import format_number
from mailer.models import Attempt, Delivery, DomainLimit, Run
from mailer.states import DeliveryState

from .fairness import join_queue
from .left_out import left_out_in_words, with_reason
from .progress import count_moves
from .providers import limits_by_domain
from .tail import move_to_tail

#: Deliveries held in memory at a time.
CHUNK = 5000


@dataclass(frozen=True, slots=True)
class Retry:
    """How many failed deliveries a retry sends again, and how many not: {"suppressed": 10}."""

    again: int
    left_out: dict[str, int]

    @property
    def failed(self) -> int:
        return self.again + sum(self.left_out.values())


def count_retry(
    run_id: int, *, problem: str | None = None, among: QuerySet[Delivery] | None = None
) -> Retry:
    """What a retry of a run's failed deliveries would do; of those with this `problem`, or `among`
    these, if given."""
    failed = failed_of(run_id, problem=problem, among=among).order_by().values_list("why")
    counts = dict(failed.annotate(n=Count("pk")))
    return Retry(again=counts.pop(None, 0), left_out=counts)


def nothing_to_retry(run_id: int, *, left_out: Mapping[str, int], problem: str | None) -> str:
    """Why a retry would send nothing: nothing failed, or whoever it failed for is left out."""
    words = _("Run %(run)s has no failed deliveries to retry.")
    if failed := sum(left_out.values()):
        words = ngettext(
            "Run %(run)s has nothing to retry: the %(n)s failed delivery is left out (%(who)s).",
            "Run %(run)s has nothing to retry: all %(n)s failed deliveries are left out (%(who)s).",
            failed,
        )
    if problem is not None:
        words = f"{words} {_('Only those that failed with “%(problem)s” were asked for.')}"
    who = left_out_in_words(left_out)
    return words % {"run": run_id, "n": format_number(failed), "who": who, "problem": problem}


def failed_of(
    run_id: int, *, problem: str | None = None, among: QuerySet[Delivery] | None = None
) -> QuerySet[Any]:
    """A run's failed deliveries, `why` saying why a retry leaves them out, null where it does not.

    Those left out keep how they failed.
    """
    deliveries = Delivery.objects.all() if among is None else among
    # What failed has a problem, and that has an index.
    failed = deliveries.filter(run=run_id, state=DeliveryState.FAILED, problem__isnull=False)
    if problem is not None:
        failed = failed.filter(problem=problem)
    single = Run.objects.filter(pk=run_id, trigger=Run.Trigger.SINGLE).exists()
    return with_reason(failed, run_id=run_id, single=single)


def try_again(
    run: Run, *, deliveries: QuerySet[Delivery], limit: int | None = None, now: datetime
) -> int:
    """Make deliveries of one run pending again; how many. In a transaction of the caller's."""
    if run.relay is None:
        raise ValueError(f"run {run.pk} was never prepared")
    rows = list(
        deliveries.select_for_update(
            of=("self",), skip_locked=connection.features.has_select_for_update_skip_locked
        )
        .order_by("seq")
        .values_list("pk", "state", "domain")[:limit]
    )
    ids = [pk for pk, _state, _domain in rows]
    for chunk in in_chunks(ids):
        keep_outcomes(chunk)
        chunk.update(
            state=DeliveryState.PENDING,
            retry_at=None,
            code=None,
            enhanced_status="",
            reply="",
            problem=None,
            settled_at=None,
        )
    if not run.pending:
        join_queue(run.pk)
    _move_to_tail(run, {pk: domain for pk, _state, domain in rows}, now=now)
    before = Counter(state for _pk, state, _domain in rows)
    count_moves(
        run.pk,
        {(DeliveryState(state), DeliveryState.PENDING): n for state, n in before.items()},
    )
    return len(ids)


def _move_to_tail(run: Run, domains: Mapping[int, str], *, now: datetime) -> None:
    """Deliveries by their keys, each provider's to batches of its own."""
    limits = limits_by_domain()
    ids: dict[DomainLimit | None, list[int]] = {}
    for pk, domain in domains.items():
        ids.setdefault(limits.get(domain), []).append(pk)
    for limit, some in ids.items():
        move_to_tail(run, ids=some, limit=limit, now=now)


def in_chunks(ids: Sequence[int]) -> Iterator[QuerySet[Delivery]]:
    """Deliveries by their keys, some thousands at a time."""
    for start in range(0, len(ids), CHUNK):
        yield Delivery.objects.filter(pk__in=ids[start : start + CHUNK])


def keep_outcomes(chunk: QuerySet[Delivery]) -> None:
    """Write down what is about to be overwritten; who was never tried has no outcome yet."""
    Attempt.objects.bulk_create(
        [
            Attempt(
                delivery_id=delivery.pk,
                number=delivery.attempts,
                state=delivery.state,
                code=delivery.code,
                enhanced_status=delivery.enhanced_status,
                reply=delivery.reply,
                at=delivery.settled_at,
            )
            for delivery in chunk.filter(attempts__gt=0).defer("variables")
        ],
        batch_size=1000,
    )
