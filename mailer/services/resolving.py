"""Saying what became of uncertain deliveries, without sending anything."""

from datetime import datetime

from django.db.models import QuerySet

from mailer.models import Delivery
from mailer.states import DeliveryState

from .progress import count_moves
from .retrying import in_chunks, keep_outcomes


def settle_as(
    run_id: int, *, deliveries: QuerySet[Delivery], to: DeliveryState, now: datetime
) -> int:
    """Move uncertain deliveries of a run to a final state; how each had ended is kept. How many.

    `settled_at` becomes the moment of the answer, so that the audit row says whose it was. In a
    transaction of the caller's.
    """
    locked = deliveries.select_for_update(of=("self",)).order_by("seq")
    ids = list(locked.values_list("pk", flat=True))
    answer: dict[str, object] = {"state": to, "settled_at": now}
    if to == DeliveryState.SENT:
        answer["problem"] = None  # why it did not arrive: it did
    for chunk in in_chunks(ids):
        keep_outcomes(chunk)
        chunk.update(**answer)
    count_moves(run_id, {(DeliveryState.UNCERTAIN, to): len(ids)})
    return len(ids)
