"""Ending what no worker holds: the rest of a cancelled run, or of one that has expired."""

from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from mailer.models import Batch, Delivery
from mailer.states import BatchState, DeliveryState

from .progress import count_moves, settle_run


@transaction.atomic
def sweep(run_id: int, *, to: DeliveryState, now: datetime, problem: str | None = None) -> int:
    """Close a run's ready batches and move what waits in it, deferred mail included; how many.

    What a worker holds is left to it: it stops by itself and then moves its own.
    """
    ready = Batch.objects.filter(run_id=run_id, state=BatchState.READY)
    locked = list(ready.select_for_update().order_by("pk").values_list("pk", flat=True))
    Batch.objects.filter(pk__in=locked).update(state=BatchState.DONE, finished_at=now)
    held = Q()
    sending = Batch.objects.filter(run_id=run_id, state=BatchState.SENDING)
    for first, last in sending.values_list("first_seq", "last_seq"):
        held |= Q(seq__gte=first, seq__lte=last)
    waiting = Delivery.objects.filter(run_id=run_id, state=DeliveryState.PENDING)
    deferred = Delivery.objects.filter(run_id=run_id, state=DeliveryState.DEFERRED)
    moved = {
        (DeliveryState.PENDING, to): _move(
            waiting.exclude(held) if held else waiting, to=to, now=now, problem=problem
        ),
        # Its last reply stays, and when it came.
        (DeliveryState.DEFERRED, to): deferred.update(state=to, retry_at=None),
    }
    count_moves(run_id, moved)
    settle_run(run_id, now=now)
    return sum(moved.values())


def _move(
    rows: QuerySet[Delivery], *, to: DeliveryState, now: datetime, problem: str | None
) -> int:
    changes: dict[str, object] = {"state": to, "retry_at": None}
    if to is not DeliveryState.CANCELLED:
        changes["settled_at"] = now
    if problem:
        changes["problem"] = problem
    return rows.update(**changes)
