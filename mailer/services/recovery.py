"""The tick: whatever was due, lost or forgotten goes on from the database.

Every step is harmless when repeated or run twice at once, and a step that fails keeps none of the
others from running.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from mailer.models import Audit, Batch, Delivery, Mailing, Run
from mailer.states import BatchState, DeliveryState, RunState

from .attaching import forget_files
from .claiming import reap_batch
from .planning import decide_slot
from .progress import settle_run
from .retrying import try_again
from .sweeping import sweep
from .testing import purge_tests

log = logging.getLogger(__name__)

#: Deferred deliveries taken up in one transaction, and how many such for a run in one tick.
CHUNK, CHUNKS = 2000, 20


def tick(*, now: datetime) -> dict[str, int]:
    """Do what is due at `now`; {step: number of things done}, without the zeros."""
    steps: dict[str, Callable[..., int]] = {
        "slots": decide_due_slots,
        "reaped": reap_lost_batches,
        "expired": expire_runs,
        "retried": retry_due,
        "swept": sweep_cancelled_runs,
        "settled": settle_runs,
        "forgotten": purge_tests,
        "files forgotten": forget_files,
    }
    done = {}
    for name, step in steps.items():
        try:
            done[name] = step(now=now)
        except Exception:
            log.exception("tick: %s failed; the next tick tries again", name)
    return {name: number for name, number in done.items() if number}


def decide_due_slots(*, now: datetime) -> int:
    """Slots that beat's wake-up did not bring (it was down, or the broker lost it)."""
    due = Mailing.objects.due(now=now).values_list("pk", flat=True)
    return _each(due, lambda pk: int(decide_slot(pk, now=now) is not None))


def reap_lost_batches(*, now: datetime) -> int:
    """Batches whose worker has not renewed its lease in time."""
    lost = Batch.objects.filter(state=BatchState.SENDING, lease_until__lt=now)
    return _each(lost.values_list("pk", flat=True), lambda pk: int(take_over(pk, now=now)))


@transaction.atomic
def take_over(batch_id: int, *, now: datetime) -> bool:
    """Reap one batch and write down whose it was; False when its worker came back in time."""
    uncertain = reap_batch(batch_id, now=now)
    if uncertain is None:
        return False
    batch = Batch.objects.get(pk=batch_id)
    log.warning("batch %s taken over from %s, %s uncertain", batch_id, batch.worker, uncertain)
    Audit.objects.create(
        run_id=batch.run_id,
        action=Audit.Action.TAKE_OVER,
        at=now,
        count=uncertain,
        detail=_("Worker %(worker)s was lost.") % {"worker": batch.worker},
    )
    settle_run(batch.run_id, now=now)
    return True


def expire_runs(*, now: datetime) -> int:
    """Give up on what waits in runs that have passed their expiry: weeks-old news help nobody."""
    runs = Run.objects.filter(state=RunState.SENDING, expires_at__lte=now)
    return _each(
        runs.values_list("pk", flat=True),
        lambda pk: sweep(pk, to=DeliveryState.FAILED, now=now, problem="expired"),
    )


def retry_due(*, now: datetime) -> int:
    """Put deferred mail whose time has come at the tail of its run."""
    due = Delivery.objects.filter(retry_at__lte=now)
    runs = Run.objects.filter(state=RunState.SENDING, pk__in=due.values("run_id"))
    return _each(runs.values_list("pk", flat=True), lambda pk: _retry_due_of(pk, now=now))


def _retry_due_of(run_id: int, *, now: datetime) -> int:
    retried = 0
    for _chunk in range(CHUNKS):
        with transaction.atomic():
            due = Delivery.objects.filter(
                run_id=run_id, state=DeliveryState.DEFERRED, retry_at__lte=now
            )
            run = Run.objects.select_related("relay").get(pk=run_id)
            moved = try_again(run, deliveries=due, limit=CHUNK, now=now)
        retried += moved
        if moved < CHUNK:
            break
    return retried


def sweep_cancelled_runs(*, now: datetime) -> int:
    """What slipped into a cancelled run while it was being cancelled."""
    cancelled = Run.objects.filter(state=RunState.CANCELLED)
    ready = Batch.objects.filter(state=BatchState.READY, run__state=RunState.CANCELLED)
    due = Delivery.objects.filter(retry_at__lte=now, run__state=RunState.CANCELLED)
    left = cancelled.filter(pk__in=ready.values("run_id")) | cancelled.filter(
        pk__in=due.values("run_id")
    )
    return _each(
        left.values_list("pk", flat=True),
        lambda pk: sweep(pk, to=DeliveryState.CANCELLED, now=now),
    )


def settle_runs(*, now: datetime) -> int:
    """Runs that were through when nobody was looking (resumed with nothing to do)."""
    runs = Run.objects.filter(state=RunState.SENDING, pending=0)
    return _each(runs.values_list("pk", flat=True), lambda pk: int(settle_run(pk, now=now)))


def _each(pks: Iterable[int], work: Callable[[int], int]) -> int:
    """Do it for each, and say how much was done; one that fails keeps no other from its turn."""
    done = 0
    for pk in list(pks):
        try:
            done += work(pk)
        except Exception:
            log.exception("tick: %s failed; the next tick tries again", pk)
    return done
