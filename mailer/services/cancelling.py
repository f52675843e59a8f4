"""Cancelling some of a run's deliveries: what waits, and is certainly not on its way."""

from datetime import datetime

from django.db.models import Max, Min, Q, QuerySet
from django.utils.translation import gettext as _

from mailer.exceptions import NotPossible
from mailer.models import Batch, Delivery, Run
from mailer.states import RUN_UNDER_WAY, BatchState, DeliveryState

from .progress import count_moves, settle_run

WAITING = (DeliveryState.PENDING, DeliveryState.DEFERRED)


def cancel_deliveries(run_id: int, *, deliveries: QuerySet[Delivery], now: datetime) -> int:
    """Cancel those of some deliveries of a run that wait, deferred ones included; how many.

    What lies below the mark of a batch that is being sent may be on its way and is left alone.
    Raises NotPossible when the run is over. In a transaction of the caller's.
    """
    leaving = _on_their_way(run_id, deliveries)
    run = Run.objects.get(pk=run_id)
    if run.state not in RUN_UNDER_WAY:
        words = _("Run %(run)s is %(state)s: nothing in it waits any more.")
        raise NotPossible(words % {"run": run_id, "state": run.get_state_display().lower()})
    pending = deliveries.filter(state=DeliveryState.PENDING).exclude(leaving)
    deferred = deliveries.filter(state=DeliveryState.DEFERRED)
    moved = {
        (DeliveryState.PENDING, DeliveryState.CANCELLED): pending.update(
            state=DeliveryState.CANCELLED
        ),
        # Its last reply stays, and when it came.
        (DeliveryState.DEFERRED, DeliveryState.CANCELLED): deferred.update(
            state=DeliveryState.CANCELLED, retry_at=None
        ),
    }
    count_moves(run_id, moved)
    settle_run(run_id, now=now)
    return sum(moved.values())


def _on_their_way(run_id: int, deliveries: QuerySet[Delivery]) -> Q:
    """What lies below the marks of the batches that these deliveries are in.

    Batches first, as everywhere: while they are locked no window opens, so no mark moves.
    """
    found = deliveries.order_by().aggregate(first=Min("seq"), last=Max("seq"))
    leaving = Q(pk__in=[])
    if found["first"] is None:
        return leaving
    batches = Batch.objects.filter(
        run_id=run_id, first_seq__lte=found["last"], last_seq__gte=found["first"]
    ).exclude(state=BatchState.DONE)
    for batch in batches.select_for_update(no_key=True).order_by("pk"):
        if batch.state == BatchState.SENDING:
            leaving |= Q(seq__gte=batch.first_seq, seq__lt=batch.mark)
    return leaving
