"""Having a run send some of its deliveries again, a finished one too."""

from datetime import datetime

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from mailer.exceptions import NotPossible
from mailer.models import Audit, Delivery, Run
from mailer.states import RUN_SENDS_AGAIN, RUN_UNDER_WAY, RunState

from .breaker import NOTHING_TRIED
from .retrying import try_again


def send_again(run_id: int, *, deliveries: QuerySet[Delivery], begins: bool, now: datetime) -> int:
    """Put deliveries of a run at its tail, and have it sending if it was finished; how many.

    Where somebody's wish `begins`, the run's time and its breaker's count begin anew; a later piece
    of the same wish leaves them, and a breaker that has tripped meanwhile, as they are. Raises
    NotPossible when the run is over. In a transaction of the caller's.
    """
    run = Run.objects.select_related("mailing", "relay").get(pk=run_id)
    if run.state not in RUN_SENDS_AGAIN:
        raise NotPossible(
            _("Run %(run)s is %(state)s: nothing in it can be sent again.")
            % {"run": run.pk, "state": run.get_state_display().lower()}
        )
    again = try_again(run, deliveries=deliveries, now=now)
    if not again:
        return 0
    reopened = _reopen(run.pk)
    going = Run.objects.filter(pk=run.pk, state__in=RUN_UNDER_WAY)
    if not going.exists():
        raise NotPossible(not_now(run.pk))  # takes all of the above back
    if begins or reopened:
        going.update(expires_at=now + run.mailing.expires_after, **NOTHING_TRIED)
    if begins:
        # Why it was paused is in its audit; what that told staff to do, they have done.
        words = _("Paused. Those to be tried again are waiting; resume it to send them.")
        going.filter(state=RunState.PAUSED).update(reason=words)
    return again


def _reopen(run_id: int) -> bool:
    """Have a run send again if it is finished by now; that it was stays in its audit.

    By its state now, not as the caller read it: it may have moved meanwhile, and its row is ours.
    """
    finished = Run.objects.filter(pk=run_id, state=RunState.FINISHED)
    finished_at = finished.values_list("finished_at", flat=True).first()
    if finished_at:
        Audit.objects.create(run_id=run_id, action=Audit.Action.FINISH, at=finished_at)
    return bool(finished.update(state=RunState.SENDING, finished_at=None, reason=""))


def not_now(run_id: int) -> str:
    """Why nothing was changed: somebody else has moved the run."""
    run = Run.objects.get(pk=run_id)
    return _("Run %(run)s is %(state)s by now. Nothing was changed.") % {
        "run": run.pk,
        "state": run.get_state_display().lower(),
    }
