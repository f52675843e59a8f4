"""The one transaction per window: fence, record, look, mark, read.

A window is the part of a batch below the mark that has no outcome yet. Only what this transaction
marked is sent; so a worker killed between two of them leaves at most one window uncertain.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from mailer.engine.sender import Outgoing, Result
from mailer.models import Batch, Delivery
from mailer.states import DeliveryState

from .claiming import Claim, close_batch, is_sending, renew_lease
from .left_out import with_reason
from .progress import count_moves, settle_run
from .results import record_results

#: A window shall be over in about so many seconds.
WINDOW_SECONDS = 5


@transaction.atomic
def next_window(
    claim: Claim,
    results: Sequence[Result],
    *,
    now: datetime,
    go_on: bool = True,
    size: int | None = None,
) -> list[Outgoing] | None:
    """Record the last window's results and open the next; None when the batch is closed or lost.

    `size` is how many messages the next window may have (MAILER_WINDOW_SIZE at most). `go_on`
    false closes the batch: what was not attempted goes back to the tail of its run. Lock
    order as everywhere: batch, deliveries, run.
    """
    if not renew_lease(claim, now=now):
        return None  # I6: the reaper was here; whatever we know came too late
    batch = claim.batch
    moved = record_results(batch, results, now=now)
    window: list[Outgoing] | None = None
    left_out: Counter[str] = Counter()
    if go_on and is_sending(batch.run_id):
        window, left_out = _open_window(batch, size=size or window_size(batch), now=now)
    if window is None:
        close_batch(claim, now=now)
    _count(claim, moved + left_out, now=now)
    return window


@transaction.atomic
def record_window(claim: Claim, results: Sequence[Result], *, now: datetime) -> bool:
    """Record the last window's results and keep the batch; False when it is lost."""
    if not renew_lease(claim, now=now):
        return False
    _count(claim, record_results(claim.batch, results, now=now), now=now)
    return True


def _count(claim: Claim, moved: Counter[str], *, now: datetime) -> None:
    count_moves(
        claim.batch.run_id,
        {(DeliveryState.PENDING, DeliveryState(state)): n for state, n in moved.items()},
    )
    settle_run(claim.batch.run_id, now=now)
    transaction.on_commit(lambda: claim.outcomes.update(moved))


def window_size(batch: Batch, *, per_second: float | None = None) -> int:
    """Messages in one window: what goes out in WINDOW_SECONDS at this speed, within limits.

    Nobody looks at unsubscribes or writes down outcomes in the middle of a window.
    """
    speeds = [speed for speed in (per_second, batch.relay.rate_per_second) if speed]
    limits = [int(speed * WINDOW_SECONDS) for speed in speeds]
    return max(1, min([settings.MAILER_WINDOW_SIZE, *limits]))


def _open_window(
    batch: Batch, *, size: int, now: datetime
) -> tuple[list[Outgoing] | None, Counter[str]]:
    """Move the mark on and read what lies below it; None past the batch's end."""
    left_out: Counter[str] = Counter()
    while batch.mark <= batch.last_seq:
        first = batch.mark
        batch.mark = min(first + size, batch.last_seq + 1)
        Batch.objects.filter(pk=batch.pk).update(mark=batch.mark)
        rows = Delivery.objects.filter(
            run_id=batch.run_id,
            seq__gte=first,
            seq__lt=batch.mark,
            state=DeliveryState.PENDING,
        )
        left_out += _leave_out(rows, run_id=batch.run_id, now=now)
        window = [_outgoing(delivery) for delivery in rows.order_by("seq")]
        if window:
            return window, left_out
    return None, left_out


def _leave_out(rows: QuerySet[Delivery], *, run_id: int, now: datetime) -> Counter[str]:
    """Skip who was suppressed or unsubscribed since the run began (I5)."""
    gone = dict(with_reason(rows, run_id=run_id).filter(why__isnull=False).values_list("pk", "why"))
    for why in set(gone.values()):
        Delivery.objects.filter(pk__in=[pk for pk, w in gone.items() if w == why]).update(
            state=DeliveryState.SKIPPED, problem=why, settled_at=now
        )
    return Counter({DeliveryState.SKIPPED.value: len(gone)} if gone else {})


def _outgoing(delivery: Delivery) -> Outgoing:
    return Outgoing(
        seq=delivery.seq,
        uuid=delivery.uuid,
        address=delivery.address,
        name=str(delivery.variables.get("name", "")),
        variables=delivery.variables,
    )
