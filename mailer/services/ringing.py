"""Which work a worker should be told of now. The broker carries the ids; the rows say the rest.

Few at a time: the queue stays shallow, and a run of 100 is not stuck behind one of 1,000,000.
"""

import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet

from mailer.locks import Lock, wait_for
from mailer.models import Batch, Run
from mailer.states import BatchState, RunState

from .planning import run_before, runs_to_prepare


@dataclass(frozen=True, slots=True)
class Bell:
    """One ring: prepare the run, or send the batch, with this id. `task_id` names the task."""

    work: Literal["prepare", "send"]
    pk: int
    task_id: str


@transaction.atomic
def take_bells(*, now: datetime, processes: int) -> list[Bell]:
    """Choose what to ring for and note that it was: whoever asks next gets the rest.

    At most 2 × `processes` batches are in flight at a time, the run with the fewest first.
    """
    # Two who count at once would ring for twice as many.
    wait_for(Lock.RINGING)
    bells = [
        Bell("prepare", run.pk, _new_task_id())
        for run in lock_free(runs_to_prepare(now=now))
        if run.state == RunState.PREPARING or run_before(run) is None
    ]
    Run.objects.filter(pk__in=[bell.pk for bell in bells]).update(rung_at=now)
    chosen = _choose_batches(now=now, limit=2 * max(1, processes))
    # In one order everywhere: two that ring at once then wait for each other, not deadlock.
    for batch in sorted(chosen, key=lambda batch: batch.pk):
        bell = Bell("send", batch.pk, _new_task_id())
        rung = _waiting(now=now).filter(pk=batch.pk).update(rung_at=now, task_id=bell.task_id)
        if rung:
            bells.append(bell)
    return bells


def unring(bell: Bell) -> None:
    """The broker did not take it: the next tick shall ring again at once."""
    if bell.work == "prepare":
        Run.objects.filter(pk=bell.pk).update(rung_at=None)
    else:
        Batch.objects.filter(pk=bell.pk, state=BatchState.READY, task_id=bell.task_id).update(
            rung_at=None, task_id=""
        )


def lock_free(runs: QuerySet[Run]) -> QuerySet[Run]:
    """Without the runs that somebody works on right now: nobody waits for an expansion."""
    features = connection.features
    return runs.select_for_update(
        of=("self",) if features.has_select_for_update_of else (),
        skip_locked=features.has_select_for_update_skip_locked,
    )


def _choose_batches(*, now: datetime, limit: int) -> list[Batch]:
    by_run: Counter[int] = Counter()
    by_relay: Counter[int] = Counter()
    going = Batch.objects.filter(
        # Whatever its run is by now: a batch of a paused run still waits for its relay's answer.
        Q(state=BatchState.SENDING)
        | Q(state=BatchState.READY, rung_at__gte=_forgotten(now), run__state=RunState.SENDING)
    )
    for run_id, relay_id in going.values_list("run_id", "relay_id"):
        by_run[run_id] += 1
        by_relay[relay_id] += 1
    chosen: list[Batch] = []
    waiting = {
        run_id: list(_waiting(now=now).filter(run_id=run_id).select_related("relay")[:limit])
        for run_id in _waiting(now=now).order_by().values_list("run_id", flat=True).distinct()
    }
    while waiting and by_run.total() < limit:
        run_id = min(waiting, key=lambda pk: (by_run[pk], pk))
        batch = waiting[run_id].pop(0)
        if not waiting[run_id]:
            del waiting[run_id]
        if by_relay[batch.relay_id] >= batch.relay.connections:
            continue
        by_run[run_id] += 1
        by_relay[batch.relay_id] += 1
        chosen.append(batch)
    return chosen


def _waiting(*, now: datetime) -> QuerySet[Batch]:
    """Ready batches that nobody was told of, or so long ago that the broker must have lost it."""
    return Batch.objects.filter(
        Q(rung_at__isnull=True) | Q(rung_at__lt=_forgotten(now)),
        Q(not_before__isnull=True) | Q(not_before__lte=now),
        Q(relay__paused_until__isnull=True) | Q(relay__paused_until__lte=now),
        state=BatchState.READY,
        run__state=RunState.SENDING,
    ).order_by("id")


def _forgotten(now: datetime) -> datetime:
    return now - timedelta(seconds=settings.MAILER_LEASE_SECONDS)


def _new_task_id() -> str:
    return str(uuid.uuid4())
