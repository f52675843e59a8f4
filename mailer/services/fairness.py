"""Whose turn it is while several runs are sending: urgent ones first, the others by weight.

Each run counts how far it has come: messages attempted, divided by its mailing's weight
(`Run.passed`). Who is least far is next, as in fair queueing; whoever begins, or begins again,
starts level with the one that is least far by then, so nobody has to make up for the past.
"""

from collections import Counter
from datetime import datetime, timedelta

from django.db.models import F, Min, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from mailer.models import Batch, Relay, Run
from mailer.states import BatchState, RunState

#: A run that is being sent, too, waits until it is behind by what we send in so many seconds.
BEHIND_SECONDS = 10
#: A batch that nobody took up for so long found no idle worker.
TAKEN_UP_WITHIN = timedelta(seconds=1)


def join_queue(run_id: int) -> None:
    """Start level with the run that is least far; after a pause, or with nothing left to send."""
    others = Run.objects.filter(state=RunState.SENDING, pending__gt=0).exclude(pk=run_id)
    least = others.order_by().values("state").annotate(least=Min("passed")).values("least")
    Run.objects.filter(pk=run_id).update(passed=Coalesce(Subquery(least), F("passed")))


def note_progress(batch: Batch, *, messages: int) -> None:
    """Count so many attempts towards how far a batch's run has come."""
    if messages:
        step = messages / batch.run.mailing.weight
        Run.objects.filter(pk=batch.run_id).update(passed=F("passed") + step)


def must_yield(batch: Batch, *, per_second: float, now: datetime) -> bool:
    """Whether another run should have this batch's place, or its worker, before the batch is
    through. `per_second` is how fast the batch is being sent."""
    if _waits_to_be_prepared(urgent_only=batch.run.mailing.urgent, now=now):
        return True
    # Whoever was rung for a moment ago is being taken up.
    unheard = Q(rung_at__isnull=True) | Q(rung_at__lt=now - TAKEN_UP_WITHIN)
    waiting = can_be_sent(now=now).filter(unheard).exclude(run_id=batch.run_id)
    pairs = list(waiting.order_by().values_list("run_id", "relay_id").distinct())
    if not pairs:
        return False
    runs = Run.objects.select_related("mailing").in_bulk([batch.run_id, *(run for run, _ in pairs)])
    relays = Relay.objects.in_bulk({relay for _, relay in pairs})
    sending = list(Batch.objects.filter(state=BatchState.SENDING).values_list("run_id", "relay_id"))
    by_run = Counter(run for run, _relay in sending)
    by_relay = Counter(relay for _run, relay in sending)
    ours = runs[batch.run_id]
    behind = per_second * BEHIND_SECONDS / ours.mailing.weight
    return any(
        _goes_first(runs[run], ours, behind=behind if by_run[run] else 0)
        for run, relay in pairs
        if not relays[relay].is_paused(now=now)
        and (relay == batch.relay_id or _has_place(relays[relay], taken=by_relay[relay], now=now))
    )


def _has_place(relay: Relay, *, taken: int, now: datetime) -> bool:
    """Whether a relay may have a worker that sends through another; a slow one would keep it."""
    return taken < relay.places and not relay.is_slow(now=now)


def _waits_to_be_prepared(*, urgent_only: bool, now: datetime) -> bool:
    """Whether a run was rung for, and no worker was free to prepare it: who is rung for is due, and
    waits for no earlier run. While somebody prepares it, it is no longer scheduled."""
    waiting = Run.objects.filter(state=RunState.SCHEDULED, rung_at__lt=now - TAKEN_UP_WITHIN)
    return (waiting.filter(mailing__urgent=True) if urgent_only else waiting).exists()


def _goes_first(rival: Run, ours: Run, *, behind: float) -> bool:
    if rival.mailing.urgent != ours.mailing.urgent:
        return rival.mailing.urgent
    return rival.passed + behind < ours.passed


def can_be_sent(*, now: datetime) -> QuerySet[Batch]:
    """Ready batches of sending runs whose time has come, and whose limits leave room; the relay
    may be paused."""
    return Batch.objects.filter(
        Q(not_before__isnull=True) | Q(not_before__lte=now),
        # Where the relay is paused as well, another may take it.
        Q(relay__waits_until__isnull=True)
        | Q(relay__waits_until__lte=now)
        | Q(relay__paused_until__gt=now),
        Q(domain_limit__isnull=True)
        | Q(domain_limit__waits_until__isnull=True)
        | Q(domain_limit__waits_until__lte=now),
        state=BatchState.READY,
        run__state=RunState.SENDING,
    )
