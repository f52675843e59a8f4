"""A batch and its lease: who may send it, for how long, and what becomes of the rest.

The holder of the token is the only one who moves the batch's deliveries, until the lease runs out
and the reaper (services.recovery) takes over. A worker that wakes up later changes 0 rows (I6).
"""

import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from mailer.models import Batch, Delivery, Relay, Run
from mailer.states import BatchState, DeliveryState, RunState

from .progress import count_moves
from .relays import places_for_slow
from .tail import move_to_tail


@dataclass(slots=True)
class Claim:
    """One worker's hold on one batch. `deadline` is monotonic seconds; past it, hands off."""

    batch: Batch
    token: uuid.UUID
    deadline: float
    lost: threading.Event = field(default_factory=threading.Event)
    #: The first seq of the window that is open.
    window_start: int = 0
    #: What was recorded so far, by state.
    outcomes: Counter[str] = field(default_factory=Counter)

    def is_held(self) -> bool:
        return not self.lost.is_set() and time.monotonic() < self.deadline


def claim_batch(
    batch_id: int, *, task_id: str, worker: str, now: datetime, processes: int = 1
) -> Claim | None:
    """Take a ready batch of a run that is sending; None when another has it or it must wait."""
    token, deadline = uuid.uuid4(), _deadline()
    with transaction.atomic():
        relay_id, has_room = _relay_has_room(batch_id, processes=processes, now=now)
        # Locked and looked at again: a joined compare-and-set would be answered from a snapshot,
        # and on PostgreSQL two workers could both take the batch.
        ready = Batch.objects.select_for_update().filter(pk=batch_id, state=BatchState.READY)
        # By the relay that has room: meanwhile it may have been given to another.
        run_id = ready.filter(relay=relay_id).values_list("run_id", flat=True).first()
        if run_id is None or not Run.objects.filter(pk=run_id, state=RunState.SENDING).exists():
            return None
        if not has_room:
            # Rung for when there was: before a pause, before the relay was found to be slow, or so
            # long ago that others were rung since.
            Batch.objects.filter(pk=batch_id).update(rung_at=None, task_id="")
            return None
        Batch.objects.filter(pk=batch_id).update(
            state=BatchState.SENDING,
            token=token,
            lease_until=now + lease(),
            claimed_at=now,
            task_id=task_id,
            worker=worker[:255],
        )
    batch = Batch.objects.select_related("run__message_version", "run__mailing", "relay").get(
        pk=batch_id
    )
    return Claim(batch=batch, token=token, deadline=deadline)


# Fence, look and mark in one: this is said once for every window.
_ADVANCE = """
    UPDATE mailer_batch
    SET lease_until = %s, mark = CASE WHEN EXISTS (
        SELECT 1 FROM mailer_run r WHERE r.id = mailer_batch.run_id AND r.state = 'sending'
    ) THEN %s ELSE mark END
    WHERE id = %s AND token = %s AND state = 'sending'
    RETURNING mark"""


def advance_mark(claim: Claim, *, to: int, now: datetime) -> bool:
    """Hold the batch for another lease and move its mark on, unless its run was stopped.

    False (and `claim.lost` set) when the batch is no longer ours.
    """
    deadline = _deadline()
    token = claim.token if connection.features.has_native_uuid_field else claim.token.hex
    until = connection.ops.adapt_datetimefield_value(now + lease())
    with connection.cursor() as cursor:
        cursor.execute(_ADVANCE, [until, to, claim.batch.pk, token])
        rows = cursor.fetchall()
    if not rows:
        claim.lost.set()
        return False
    claim.deadline = deadline
    claim.batch.mark = rows[0][0]
    return True


def _relay_has_room(batch_id: int, *, processes: int, now: datetime) -> tuple[int | None, bool]:
    """A batch's relay, and whether it may have one batch more; nobody else takes one of its
    meanwhile."""
    of_batch = Batch.objects.filter(pk=batch_id).values("relay_id")
    # no_key: whoever adds batches for this relay meanwhile does not wait.
    relay = Relay.objects.select_for_update(no_key=True).filter(pk__in=of_batch).first()
    if relay is None:
        return None, False
    sending = Batch.objects.filter(state=BatchState.SENDING)
    if relay.is_slow(now=now):
        slow = sending.filter(relay__slow_until__gt=now)
        if slow.count() >= places_for_slow(processes):
            return relay.pk, False
    return relay.pk, sending.filter(relay_id=relay.pk).count() < relay.places


def renew_lease(claim: Claim, *, now: datetime) -> bool:
    """Hold the batch for another lease; False (and `claim.lost` set) when it is no longer ours."""
    deadline = _deadline()
    renewed = Batch.objects.filter(
        pk=claim.batch.pk, token=claim.token, state=BatchState.SENDING
    ).update(lease_until=now + lease())
    if renewed:
        claim.deadline = deadline
    else:
        claim.lost.set()
    return bool(renewed)


def is_sending(run_id: int) -> bool:
    return Run.objects.filter(pk=run_id, state=RunState.SENDING).exists()


def close_batch(claim: Claim, *, now: datetime) -> None:
    """End our own batch: what was not attempted goes to the tail, or is cancelled with its run.

    In a transaction that renewed the lease: every outcome is recorded, so whatever is
    pending was certainly not sent.
    """
    batch = claim.batch
    Batch.objects.filter(pk=batch.pk).update(
        state=BatchState.DONE, token=None, lease_until=None, finished_at=now
    )
    seqs = lock_pending(batch.run_id, first=batch.first_seq, last=batch.last_seq)
    ids = list(seqs)
    if untried := sum(seq < batch.mark for seq in seqs.values()):
        # Below the mark is then what was tried, as whoever asks how fast it went takes it to be.
        Batch.objects.filter(pk=batch.pk).update(mark=F("mark") - untried)
    # A cancel that commits after this look finds the new batch at the next tick.
    state = Run.objects.values_list("state", flat=True).get(pk=batch.run_id)
    if state == RunState.CANCELLED:
        cancel_deliveries(batch.run_id, ids=ids)
    else:
        move_to_tail(batch.run, ids=ids, like=batch, now=now)


def lock_pending(run_id: int, *, first: int, last: int) -> dict[int, int]:
    """{id: seq} of a range's pending deliveries by seq, locked until the transaction ends."""
    return dict(
        Delivery.objects.select_for_update(of=("self",))
        .filter(run_id=run_id, seq__gte=first, seq__lte=last, state=DeliveryState.PENDING)
        .order_by("seq")
        .values_list("id", "seq")
    )


def cancel_deliveries(run_id: int, *, ids: list[int]) -> int:
    """Cancel pending deliveries that were certainly not sent, and count them."""
    cancelled = Delivery.objects.filter(pk__in=ids, state=DeliveryState.PENDING).update(
        state=DeliveryState.CANCELLED
    )
    count_moves(run_id, {(DeliveryState.PENDING, DeliveryState.CANCELLED): cancelled})
    return cancelled


def reap_batch(batch_id: int, *, now: datetime) -> int | None:
    """Take over from a worker whose lease has run out: how many became uncertain; None if it
    was renewed or reaped meanwhile.

    Below the mark and without an outcome: it may have left, so it is uncertain and never sent
    again by itself. From the mark on nothing was touched: it goes to the tail.
    """
    with transaction.atomic():
        reaped = Batch.objects.filter(
            pk=batch_id, state=BatchState.SENDING, lease_until__lt=now
        ).update(state=BatchState.DONE, token=None, lease_until=None, finished_at=now)
        if not reaped:
            return None
        batch = Batch.objects.select_related("run", "relay").get(pk=batch_id)
        uncertain = Delivery.objects.filter(
            run_id=batch.run_id,
            seq__gte=batch.first_seq,
            seq__lt=batch.mark,
            state=DeliveryState.PENDING,
        ).update(
            state=DeliveryState.UNCERTAIN,
            attempts=F("attempts") + 1,
            settled_at=now,
            problem="interrupted",
        )
        ids = list(lock_pending(batch.run_id, first=batch.mark, last=batch.last_seq))
        if batch.run.state == RunState.CANCELLED:
            cancel_deliveries(batch.run_id, ids=ids)
        else:
            move_to_tail(batch.run, ids=ids, like=batch, now=now)
        count_moves(batch.run_id, {(DeliveryState.PENDING, DeliveryState.UNCERTAIN): uncertain})
        return uncertain


def lease() -> timedelta:
    return timedelta(seconds=settings.MAILER_LEASE_SECONDS)


def _deadline() -> float:
    # A tenth is kept back: the other side's clock may be a little ahead of ours.
    return time.monotonic() + 0.9 * settings.MAILER_LEASE_SECONDS
