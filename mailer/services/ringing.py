"""Which work a worker should be told of now. The broker carries the ids; the rows say the rest.

Few at a time: the queue stays shallow, and a run of 100 is not stuck behind one of 1,000,000.
"""

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet

from mailer.locks import Lock, wait_for
from mailer.models import Batch, BulkAction, DomainLimit, Relay, Run
from mailer.states import BatchState, RunState

from . import bulk
from .fairness import can_be_sent
from .planning import run_before, runs_to_prepare
from .relays import places_for_slow
from .shares import usable_relay

#: Thousands of single messages may wait at a time; for one ring the first for each relay do.
QUEUE = 500


@dataclass(frozen=True, slots=True)
class Bell:
    """One ring: prepare the run, send the batch, or go on with the bulk action, with this id.
    `task_id` names the task."""

    work: Literal["prepare", "send", "act"]
    pk: int
    task_id: str


@transaction.atomic
def take_bells(*, now: datetime, processes: int) -> list[Bell]:
    """Choose what to ring for and note that it was: whoever asks next gets the rest.

    At most 2 × `processes` batches are in flight at a time.
    """
    # Two who count at once would ring for twice as many.
    wait_for(Lock.RINGING)
    bells = [
        Bell("prepare", run.pk, _new_task_id())
        for run in lock_free(runs_to_prepare(now=now))
        if run.state == RunState.PREPARING or run_before(run) is None
    ]
    Run.objects.filter(pk__in=[bell.pk for bell in bells]).update(rung_at=now)
    acts = bulk.take_unfinished(now=now, forgotten=_forgotten(now))
    bells += [Bell("act", pk, _new_task_id()) for pk in acts]
    chosen = _choose_batches(now=now, processes=processes)
    # In one order everywhere: two that ring at once then wait for each other, not deadlock.
    for batch in sorted(chosen, key=lambda batch: batch.pk):
        bell = Bell("send", batch.pk, _new_task_id())
        untouched = _waiting(now=now).filter(pk=batch.pk)
        rung = untouched.update(rung_at=now, task_id=bell.task_id, relay=batch.relay)
        if rung:
            bells.append(bell)
    return bells


def unring(bell: Bell) -> None:
    """The broker did not take it: the next tick shall ring again at once."""
    if bell.work == "prepare":
        Run.objects.filter(pk=bell.pk).update(rung_at=None)
    elif bell.work == "act":
        BulkAction.objects.filter(pk=bell.pk).update(rung_at=None)
    else:
        Batch.objects.filter(pk=bell.pk, state=BatchState.READY, task_id=bell.task_id).update(
            rung_at=None, task_id=""
        )


def next_opening(*, now: datetime) -> datetime | None:
    """The next moment before the next tick at which a relay's pause or a limit ends."""
    soon = now + timedelta(seconds=settings.MAILER_TICK_SECONDS)
    moments = [
        *Relay.objects.order_by().values_list("paused_until", "waits_until"),
        *DomainLimit.objects.order_by().values_list("waits_until"),
    ]
    ahead = [moment for row in moments for moment in row if moment and now < moment <= soon]
    return min(ahead, default=None)


def lock_free(runs: QuerySet[Run]) -> QuerySet[Run]:
    """Without the runs that somebody works on right now: nobody waits for an expansion."""
    features = connection.features
    return runs.select_for_update(
        of=("self",) if features.has_select_for_update_of else (),
        skip_locked=features.has_select_for_update_skip_locked,
    )


def _choose_batches(*, now: datetime, processes: int) -> list[Batch]:
    """Of urgent runs first, then of those that are least far by their weight; each batch with the
    relay that it is to leave through."""
    going = Batch.objects.filter(
        # Whatever its run is by now: a batch of a paused run still waits for its relay's answer.
        Q(state=BatchState.SENDING)
        | Q(state=BatchState.READY, rung_at__gte=_forgotten(now), run__state=RunState.SENDING)
    )
    by_run: Counter[int] = Counter()
    by_relay: Counter[int] = Counter()
    for run_id, relay_id, mark, last in going.values_list("run_id", "relay_id", "mark", "last_seq"):
        by_run[run_id] += last + 1 - mark
        by_relay[relay_id] += 1
    room = 2 * max(1, processes) - by_relay.total()
    relays = Relay.objects.in_bulk()
    slow = {pk for pk, relay in relays.items() if relay.is_slow(now=now)}
    room_for_slow = places_for_slow(processes) - sum(by_relay[pk] for pk in slow)
    places = _queue(relays, taken=by_relay, now=now) if room > 0 else []
    chosen: list[Batch] = []
    while places and len(chosen) < room:
        place = min(places, key=lambda place: place.key(by_run))
        relay = usable_relay(place.relay_id, place.shares, relays=relays, taken=by_relay, now=now)
        if relay and relay.pk in slow and room_for_slow < 1:
            relay = None
        batch = place.next_batch(now=now, limit=room) if relay else None
        if relay is None or batch is None:
            places.remove(place)
            continue
        place.taken += 1
        batch.relay = relay
        by_run[batch.run_id] += batch.size
        by_relay[relay.pk] += 1
        room_for_slow -= relay.pk in slow
        chosen.append(batch)
    return chosen


@dataclass(slots=True, eq=False)
class _Place:
    """A run's place in the queue for one of its relays."""

    run_id: int
    relay_id: int
    urgent: bool
    passed: float
    weight: int
    shares: dict[str, int]
    #: Of its batches that wait.
    taken: int = 0
    batches: list[Batch] | None = None

    def key(self, in_flight: Mapping[int, int]) -> tuple[bool, float, int]:
        far = self.passed + in_flight.get(self.run_id, 0) / self.weight
        return not self.urgent, far, self.run_id

    def next_batch(self, *, now: datetime, limit: int) -> Batch | None:
        if self.batches is None:
            own = _waiting(now=now).filter(run_id=self.run_id, relay_id=self.relay_id)
            self.batches = list(own[:limit])
        return self.batches[self.taken] if self.taken < len(self.batches) else None


def _queue(relays: Mapping[int, Relay], *, taken: Mapping[int, int], now: datetime) -> list[_Place]:
    """The places with batches that wait and can be sent, the first QUEUE for each relay."""
    first = ("-run__mailing__urgent", "run__passed", "run_id")
    columns = (
        "run_id", "relay_id", "run__mailing__urgent", "run__passed", "run__mailing__weight",
        "run__shares",
    )  # fmt: skip
    waiting = _waiting(now=now).order_by(*first).values_list(*columns).distinct()
    places = []
    for relay in relays.values():
        here = waiting.filter(relay_id=relay.pk)
        if relay.is_paused(now=now) or taken.get(relay.pk, 0) >= relay.places:
            here = here.exclude(run__shares={})  # only those who have another relay
        places += [_Place(*row) for row in here[:QUEUE]]
    return places


def _waiting(*, now: datetime) -> QuerySet[Batch]:
    """Ready batches that nobody was told of, or so long ago that the broker must have lost it."""
    untold = Q(rung_at__isnull=True) | Q(rung_at__lt=_forgotten(now))
    return can_be_sent(now=now).filter(untold).order_by("id")


def _forgotten(now: datetime) -> datetime:
    return now - timedelta(seconds=settings.MAILER_LEASE_SECONDS)


def _new_task_id() -> str:
    return str(uuid.uuid4())
