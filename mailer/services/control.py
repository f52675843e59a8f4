"""What staff do to a run: pause, resume, cancel, retry, resolve. Each leaves an audit row.

Every service takes the run's primary key, looks again at its state, and raises NotPossible with a
sentence for staff when it has moved on meanwhile. What is about deliveries gives the BulkAction
back: `done` so far, and whether it is finished; the rest follows in the background.
"""

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from mailer.exceptions import NotPossible
from mailer.models import Audit, BulkAction, Delivery, Run
from mailer.states import DELIVERY_MOVES, RUN_MOVES, DeliveryState, RunState

from .breaker import NOTHING_TRIED
from .bulk import begin
from .fairness import join_queue
from .progress import settle_run
from .retrying import nothing_to_retry
from .sending_again import not_now
from .sweeping import sweep


@transaction.atomic
def pause_run(run_id: int, *, by: User | None, now: datetime) -> None:
    """Stop a run at its next window; what is not sent stays waiting."""
    _move(run_id, {RunState.SENDING}, RunState.PAUSED, reason=_("Paused by staff."))
    _audit(run_id, Audit.Action.PAUSE, by=by, now=now)


@transaction.atomic
def resume_run(run_id: int, *, by: User | None, now: datetime) -> None:
    """Go on exactly where a paused run stopped; one whose time was over meanwhile has it anew."""
    _move(run_id, {RunState.PAUSED}, RunState.SENDING, reason="", **NOTHING_TRIED)
    if run := Run.objects.select_related("mailing").filter(pk=run_id, expires_at__lte=now).first():
        run.expires_at = now + run.mailing.expires_after
        run.save(update_fields=["expires_at"])
    join_queue(run_id)
    _audit(run_id, Audit.Action.RESUME, by=by, now=now)
    settle_run(run_id, now=now)


def cancel_run(run_id: int, *, by: User | None, now: datetime, reason: str = "") -> int:
    """End a run: nothing more is sent but what is on the wire; how many were cancelled.

    The state goes first and alone: from its commit on no window opens. Without a `reason`, staff
    did it.
    """
    with transaction.atomic():
        _move(
            run_id,
            {state for state, moves in RUN_MOVES.items() if RunState.CANCELLED in moves},
            RunState.CANCELLED,
            reason=reason or _("Cancelled by staff."),
        )
        Run.objects.filter(pk=run_id).update(finished_at=now)
        entry = _audit(run_id, Audit.Action.CANCEL, by=by, now=now, detail=reason)
    cancelled = sweep(run_id, to=DeliveryState.CANCELLED, now=now)
    Audit.objects.filter(pk=entry.pk).update(count=cancelled)
    return cancelled


def retry_failed(
    run_id: int,
    *,
    by: User | None,
    now: datetime,
    problem: str | None = None,
    deliveries: QuerySet[Delivery] | None = None,
    query: str | None = None,
) -> BulkAction:
    """Send a run's failed deliveries again. Only those with this `problem`, or among these
    `deliveries`, if given; `query` as in bulk.begin.

    A finished run is sending again; its expiry is counted anew. Who is suppressed or unsubscribed
    by now is not touched: how it failed stays to be read.
    """
    return begin(
        BulkAction(run_id=run_id, kind=BulkAction.Kind.RETRY, problem=problem, query=query),
        deliveries=deliveries,
        by=by,
        now=now,
        nothing=lambda action: nothing_to_retry(run_id, left_out=action.left_out, problem=problem),
    )


def resolve_uncertain(
    run_id: int,
    *,
    to: DeliveryState,
    by: User | None,
    now: datetime,
    deliveries: QuerySet[Delivery] | None = None,
    query: str | None = None,
) -> BulkAction:
    """Say what became of a run's uncertain deliveries: SENT, FAILED, or PENDING again.

    All of them, or those among `deliveries`; `query` as in bulk.begin. PENDING sends them again, as
    retry_failed does. SENT and FAILED are possible in a cancelled run too. Raises ValueError for
    any other state.
    """
    if to not in DELIVERY_MOVES[DeliveryState.UNCERTAIN]:
        raise ValueError(f"an uncertain delivery does not become {to}")
    return begin(
        BulkAction(run_id=run_id, kind=BulkAction.Kind.RESOLVE, to=to, query=query),
        deliveries=deliveries,
        by=by,
        now=now,
        nothing=lambda _action: _("Run %(run)s has no uncertain deliveries.") % {"run": run_id},
    )


def cancel_waiting(
    run_id: int,
    *,
    by: User | None,
    now: datetime,
    deliveries: QuerySet[Delivery] | None = None,
    query: str | None = None,
) -> BulkAction:
    """Cancel those of a run's deliveries that wait, deferred ones included, but for those that may
    be on their way; among these `deliveries`, if given. `query` as in bulk.begin.
    """
    nothing = _("Run %(run)s: none of these waits any more; some may be on their way.")
    return begin(
        BulkAction(run_id=run_id, kind=BulkAction.Kind.CANCEL, query=query),
        deliveries=deliveries,
        by=by,
        now=now,
        nothing=lambda _action: nothing % {"run": run_id},
    )


def _move(run_id: int, allowed: set[RunState], to: RunState, *, reason: str, **also: int) -> None:
    runs = Run.objects.filter(pk=run_id, state__in=allowed)
    moved = runs.update(state=to, reason=reason, **also)
    if not moved:
        raise NotPossible(not_now(run_id))


def _audit(
    run_id: int,
    action: Audit.Action,
    *,
    by: User | None,
    now: datetime,
    count: int = 0,
    detail: str = "",
) -> Audit:
    return Audit.objects.create(
        run_id=run_id, action=action, actor=by, at=now, count=count, detail=detail[:500]
    )
