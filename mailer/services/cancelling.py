"""Cancelling some of a run's deliveries: what waits, and is certainly not on its way."""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from mailer.exceptions import NotPossible
from mailer.models import Audit, Batch, Delivery, Run
from mailer.states import RUN_UNDER_WAY, BatchState, DeliveryState

from .progress import count_moves, settle_run

WAITING = (DeliveryState.PENDING, DeliveryState.DEFERRED)


@transaction.atomic
def cancel_waiting(
    run_id: int, *, deliveries: QuerySet[Delivery], by: User | None, now: datetime
) -> int:
    """Cancel those of a run's `deliveries` that wait, deferred ones included; how many.

    What lies below the mark of a batch that is being sent may be on its way and is left alone.
    Raises NotPossible when the run is over, or none of them waits.
    """
    # Batches first, as everywhere: while they are locked no window opens, so no mark moves.
    under_way = Batch.objects.filter(run_id=run_id).exclude(state=BatchState.DONE)
    batches = list(under_way.select_for_update(no_key=True).order_by("pk"))
    run = Run.objects.get(pk=run_id)
    if run.state not in RUN_UNDER_WAY:
        words = _("Run %(run)s is %(state)s: nothing in it waits any more.")
        raise NotPossible(words % {"run": run_id, "state": run.get_state_display().lower()})
    leaving = Q(pk__in=[])
    for batch in batches:
        if batch.state == BatchState.SENDING:
            leaving |= Q(seq__gte=batch.first_seq, seq__lt=batch.mark)
    asked = Delivery.objects.filter(run=run_id, pk__in=deliveries.order_by().values("pk"))
    moved = {
        (DeliveryState.PENDING, DeliveryState.CANCELLED): asked.filter(state=DeliveryState.PENDING)
        .exclude(leaving)
        .update(state=DeliveryState.CANCELLED),
        # Its last reply stays, and when it came.
        (DeliveryState.DEFERRED, DeliveryState.CANCELLED): asked.filter(
            state=DeliveryState.DEFERRED
        ).update(state=DeliveryState.CANCELLED, retry_at=None),
    }
    cancelled = sum(moved.values())
    if not cancelled:
        raise NotPossible(
            _("Run %(run)s: none of these waits any more; some may be on their way.")
            % {"run": run_id}
        )
    Audit.objects.create(
        run_id=run_id, action=Audit.Action.CANCEL_SOME, actor=by, at=now, count=cancelled
    )
    count_moves(run_id, moved)
    settle_run(run_id, now=now)
    return cancelled
