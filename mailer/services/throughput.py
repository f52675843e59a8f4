"""Whether a run is going and how fast, from when batches were taken up and how far they came."""

from datetime import datetime, timedelta

from django.db.models import Case, Count, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce

from mailer.models import Delivery, Run
from mailer.states import BatchState, DeliveryState

#: What happened longer ago says little about now.
RECENT = timedelta(seconds=60)


def is_moving(run: Run, *, now: datetime) -> bool:
    """Whether mail of a run is on the way, or will be as its limits allow: not where all of it
    waits for relays that are paused, or for another try."""
    ready = Q(
        Q(not_before=None) | Q(not_before__lte=now),
        Q(relay__paused_until=None) | Q(relay__paused_until__lte=now),
        state=BatchState.READY,
    )
    return run.batches.filter(Q(state=BatchState.SENDING) | ready).exists()


def rate_of(run: Run, *, now: datetime) -> float:
    """Messages a second over the last minute, tried ones of any outcome; 0.0 when nothing moves."""
    batches = run.batches.filter(
        Q(state=BatchState.SENDING) | Q(finished_at__gte=now - RECENT), claimed_at__isnull=False
    )
    # Of a window that is open nothing may have been tried yet; closed batches have none.
    untried = (
        Delivery.objects.filter(
            run=OuterRef("run"),
            seq__gte=OuterRef("first_seq"),
            seq__lt=OuterRef("mark"),
            state=DeliveryState.PENDING,
        )
        .order_by()
        .values("run")
        .annotate(n=Count("pk"))
        .values("n")
    )
    waiting = Case(
        When(state=BatchState.SENDING, then=Coalesce(Subquery(untried), 0)), default=Value(0)
    )
    rows = batches.values_list("first_seq", "mark", "claimed_at", "finished_at", waiting)
    since = max(now - RECENT, run.started_at or now)
    messages = 0.0
    for first, mark, claimed, finished, waiting_still in rows:
        end = finished or now
        begun = claimed or end
        took = max((end - begun).total_seconds(), 0.001)
        within = max((end - max(begun, since)).total_seconds(), 0.0)
        messages += (mark - first - waiting_still) * min(within / took, 1.0)
    span = (now - since).total_seconds()
    return messages / span if span > 0 else 0.0
