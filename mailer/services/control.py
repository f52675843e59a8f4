"""What staff do to a run: pause, resume, cancel, retry, resolve. Each leaves an audit row.

Every service takes the run's primary key, looks again at its state, and raises NotPossible with a
sentence for staff when it has moved on meanwhile.
"""

from collections.abc import Mapping
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from mailer.exceptions import NotPossible
from mailer.models import Audit, Delivery, Run
from mailer.states import RUN_MOVES, RUN_SENDS_AGAIN, RUN_UNDER_WAY, DeliveryState, RunState

from .breaker import NOTHING_TRIED
from .fairness import join_queue
from .left_out import left_out_in_words
from .progress import count_moves, settle_run
from .retrying import count_retry, in_chunks, keep_outcomes, nothing_to_retry, retriable, try_again
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


@transaction.atomic
def retry_failed(
    run_id: int,
    *,
    by: User | None,
    now: datetime,
    problem: str | None = None,
    deliveries: QuerySet[Delivery] | None = None,
) -> int:
    """Send a run's failed deliveries again; how many. Only those with this `problem`, or among
    these `deliveries`, if given.

    A finished run is sending again; its expiry is counted anew. Who is suppressed or unsubscribed
    by now is not touched: how it failed stays to be read.
    """
    asked = count_retry(run_id, problem=problem, among=deliveries)
    chosen = retriable(run_id, problem=problem, among=deliveries)
    retried = _send_again(run_id, deliveries=chosen, now=now)
    if not retried:
        raise NotPossible(nothing_to_retry(run_id, left_out=asked.left_out, problem=problem))
    detail = ". ".join(filter(None, [problem, _left_out(asked.left_out)]))
    _audit(run_id, Audit.Action.RETRY, by=by, now=now, count=retried, detail=detail)
    return retried


@transaction.atomic
def resolve_uncertain(
    run_id: int,
    *,
    to: DeliveryState,
    by: User | None,
    now: datetime,
    deliveries: QuerySet[Delivery] | None = None,
) -> int:
    """Say what became of a run's uncertain deliveries: SENT, FAILED, or PENDING again; how many.

    All of them, or those among `deliveries`. PENDING sends them again, as retry_failed does. SENT
    and FAILED are possible in a cancelled run too. Raises ValueError for any other state.
    """
    uncertain = Delivery.objects.filter(run=run_id, state=DeliveryState.UNCERTAIN)
    if deliveries is not None:
        uncertain = uncertain.filter(pk__in=deliveries.order_by().values("pk"))
    if to == DeliveryState.PENDING:
        resolved = _send_again(run_id, deliveries=uncertain, now=now)
    else:
        resolved = _settle_as(run_id, deliveries=uncertain, to=to, now=now)
    if not resolved:
        raise NotPossible(_("Run %(run)s has no uncertain deliveries.") % {"run": run_id})
    detail = _("Now: %(state)s.") % {"state": to.label.lower()}
    _audit(run_id, Audit.Action.RESOLVE, by=by, now=now, count=resolved, detail=detail)
    return resolved


def _left_out(counts: Mapping[str, int]) -> str:
    return _("Left out: %(who)s.") % {"who": left_out_in_words(counts)} if counts else ""


def _settle_as(
    run_id: int, *, deliveries: QuerySet[Delivery], to: DeliveryState, now: datetime
) -> int:
    """Move uncertain deliveries to a final state; how each had ended is kept.

    `settled_at` becomes the moment of the answer, so that the audit row says whose it was.
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


def _send_again(run_id: int, *, deliveries: QuerySet[Delivery], now: datetime) -> int:
    """Put deliveries of a run at its tail, and have it sending if it was finished; how many."""
    run = Run.objects.select_related("mailing", "relay").get(pk=run_id)
    if run.state not in RUN_SENDS_AGAIN:
        raise NotPossible(
            _("Run %(run)s is %(state)s: nothing in it can be sent again.")
            % {"run": run.pk, "state": run.get_state_display().lower()}
        )
    again = try_again(run, deliveries=deliveries, now=now)
    if not again:
        return 0
    _reopen(run.pk)
    going = Run.objects.filter(pk=run.pk, state__in=RUN_UNDER_WAY)
    if not going.update(expires_at=now + run.mailing.expires_after, **NOTHING_TRIED):
        raise NotPossible(_not_now(run.pk))  # takes all of the above back
    # Why it was paused is in its audit; what that told staff to do, they have done.
    words = _("Paused. Those to be tried again are waiting; resume it to send them.")
    going.filter(state=RunState.PAUSED).update(reason=words)
    return again


def _reopen(run_id: int) -> None:
    """Have a run send again if it is finished by now; that it was stays in its audit.

    By its state now, not as the caller read it: it may have moved meanwhile, and its row is ours.
    """
    finished = Run.objects.filter(pk=run_id, state=RunState.FINISHED)
    if finished_at := finished.values_list("finished_at", flat=True).first():
        _audit(run_id, Audit.Action.FINISH, by=None, now=finished_at)
    finished.update(state=RunState.SENDING, finished_at=None, reason="")


def _move(run_id: int, allowed: set[RunState], to: RunState, *, reason: str, **also: int) -> None:
    runs = Run.objects.filter(pk=run_id, state__in=allowed)
    moved = runs.update(state=to, reason=reason, **also)
    if not moved:
        raise NotPossible(_not_now(run_id))


def _not_now(run_id: int) -> str:
    run = Run.objects.get(pk=run_id)
    return _("Run %(run)s is %(state)s by now. Nothing was changed.") % {
        "run": run.pk,
        "state": run.get_state_display().lower(),
    }


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
