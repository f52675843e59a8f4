"""What staff ask for many deliveries of a run at once: the first piece now, the rest by workers.

Most wishes are one piece, done before the answer. A larger one is a row with a cursor over the
run's seqs; whatever is done moves the cursor in the same transaction, so that nobody is met twice
and a wish goes on where a worker died.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _

from mailer.exceptions import NotPossible
from mailer.models import Audit, BulkAction, Delivery, Run
from mailer.states import DeliveryState

from .cancelling import WAITING, cancel_deliveries
from .left_out import left_out_in_words
from .resolving import settle_as
from .retrying import failed_of
from .sending_again import send_again

#: Deliveries in one transaction: about half a second of it.
PIECE = 2000
#: How long a task works on one wish before it lets others have their turn.
TURN = timedelta(seconds=10)

_AUDITED = {
    BulkAction.Kind.RETRY: Audit.Action.RETRY,
    BulkAction.Kind.RESOLVE: Audit.Action.RESOLVE,
    BulkAction.Kind.CANCEL: Audit.Action.CANCEL_SOME,
}


@transaction.atomic
def begin(
    action: BulkAction,
    *,
    deliveries: QuerySet[Delivery] | None,
    by: User | None,
    now: datetime,
    nothing: Callable[[BulkAction], str],
) -> BulkAction:
    """Do the first piece of an unsaved action and keep the rest for workers; the action.

    `deliveries` narrows it. The action's `query` says how a worker finds them again; without one it
    keeps their keys. Raises NotPossible, with the words of `nothing` where there is nothing to do.
    """
    action.audit = Audit.objects.create(
        run_id=action.run_id,
        action=_AUDITED[BulkAction.Kind(action.kind)],
        actor=by,
        at=now,
    )
    if action.kind != BulkAction.Kind.CANCEL:
        action.end = Run.objects.values_list("next_seq", flat=True).get(pk=action.run_id)
    _do_piece(action, deliveries, begins=True, now=now)
    if action.finished_at is None:
        ahead = _ahead(action, deliveries)
        action.expected = action.done + ahead.count()
        if deliveries is not None and action.query is None:
            action.keys = list(ahead.values_list("pk", flat=True))
    elif not action.done:
        raise NotPossible(nothing(action))
    action.save()
    return action


def work_off(
    action_id: int,
    *,
    find: Callable[[str], QuerySet[Delivery]],
    clock: Callable[[], datetime],
    stopping: Callable[[], bool] = lambda: False,
) -> int:
    """Do pieces of an action for a while, those that `find` gives for its query; how many were
    done. What is left then is rung for again.
    """
    done, until = 0, clock() + TURN
    find = cache(find)
    while (now := clock()) < until and not stopping():
        piece = _go_on(action_id, find=find, now=now)
        if piece is None:
            return done
        done += piece
    BulkAction.objects.unfinished().filter(pk=action_id).update(rung_at=None)
    return done


def take_unfinished(*, now: datetime, forgotten: datetime) -> list[int]:
    """Note that these actions were rung for: nobody was told of them, or not since `forgotten`."""
    untold = Q(rung_at__isnull=True) | Q(rung_at__lt=forgotten)
    free = BulkAction.objects.unfinished().select_for_update(
        # One that somebody works on right now needs no bell.
        skip_locked=connection.features.has_select_for_update_skip_locked
    )
    keys = list(free.filter(untold).order_by("pk").values_list("pk", flat=True))
    BulkAction.objects.filter(pk__in=keys).update(rung_at=now)
    return keys


@transaction.atomic
def _go_on(
    action_id: int, *, find: Callable[[str], QuerySet[Delivery]], now: datetime
) -> int | None:
    """One piece of an action; how many were done in it, None if the action is finished."""
    # Two workers on one action take turns.
    unfinished = BulkAction.objects.unfinished().select_for_update(of=("self",))
    action = unfinished.filter(pk=action_id).first()
    if action is None:
        return None
    before = action.done
    action.rung_at = now
    deliveries = None
    if action.query is not None:
        deliveries = find(action.query)
    elif action.keys is not None:
        deliveries = Delivery.objects.filter(pk__in=action.keys)
    try:
        with transaction.atomic():
            _do_piece(action, deliveries, begins=False, now=now)
    except NotPossible as refusal:
        action.finished_at = now
        _write_down(action, moved=0, also=str(refusal))
    action.save()
    return action.done - before


def _do_piece(
    action: BulkAction, deliveries: QuerySet[Delivery] | None, *, begins: bool, now: datetime
) -> None:
    """Do the next PIECE deliveries and move the cursor past them; the caller saves the action."""
    columns = ("pk", "seq", "why") if action.kind == BulkAction.Kind.RETRY else ("pk", "seq")
    found = list(_ahead(action, deliveries).values(*columns)[:PIECE])
    ids = [row["pk"] for row in found if row.get("why") is None]
    # Looked at once more, and this time locked: somebody may have moved one since.
    piece = _matching(action, Delivery.objects.filter(pk__in=ids))
    match action.kind:
        case BulkAction.Kind.CANCEL:
            moved = cancel_deliveries(action.run_id, deliveries=piece, now=now)
        case BulkAction.Kind.RESOLVE if action.to != DeliveryState.PENDING:
            to = DeliveryState(action.to)
            moved = settle_as(action.run_id, deliveries=piece, to=to, now=now)
        case _:
            moved = send_again(action.run_id, deliveries=piece, begins=begins, now=now)
    action.done += moved
    action.left_out = Counter(action.left_out) + Counter(
        row["why"] for row in found if row.get("why") is not None
    )
    if len(found) < PIECE:
        action.finished_at = now
    else:
        action.cursor = found[-1]["seq"] + 1
    _write_down(action, moved=moved)


def _write_down(action: BulkAction, *, moved: int, also: str = "") -> None:
    detail = " ".join(filter(None, [_detail(action), also]))
    Audit.objects.filter(pk=action.audit_id).update(count=F("count") + moved, detail=detail[:500])


def _detail(action: BulkAction) -> str:
    if action.kind == BulkAction.Kind.RESOLVE:
        return _("Now: %(state)s.") % {"state": DeliveryState(action.to).label.lower()}
    who = left_out_in_words(action.left_out)
    left_out = _("Left out: %(who)s.") % {"who": who} if who else ""
    return ". ".join(filter(None, [action.problem, left_out]))


def _ahead(action: BulkAction, deliveries: QuerySet[Delivery] | None) -> QuerySet[Delivery]:
    """What the action is still about, in its order."""
    everything = Delivery.objects.all() if deliveries is None else deliveries
    ahead = _matching(action, everything).filter(seq__gte=action.cursor)
    if action.end is not None:
        ahead = ahead.filter(seq__lt=action.end)
    return ahead.order_by("seq")


def _matching(action: BulkAction, deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    match action.kind:
        case BulkAction.Kind.RETRY:
            return failed_of(action.run_id, problem=action.problem, among=deliveries)
        case BulkAction.Kind.RESOLVE:
            # What is uncertain has a problem, and that has an index.
            deliveries = deliveries.filter(problem__isnull=False)
            return deliveries.filter(run=action.run_id, state=DeliveryState.UNCERTAIN)
        case _:
            return deliveries.filter(run=action.run_id, state__in=WAITING)
