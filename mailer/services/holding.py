"""After a restore: the database is older than what was sent, so nothing goes on by itself."""

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from mailer.models import Mailing, Run
from mailer.states import RunState

from .control import cancel_run
from .relays import hold_run
from .scheduling import apply_schedule


@dataclass(frozen=True, slots=True)
class Held:
    """What would have gone out: `passed_over` are mailings that were due, each with its time.

    `paused_before` is left as it was; it may have been resumed since the backup.
    """

    paused: list[Run]
    paused_before: list[Run]
    cancelled: list[Run]
    passed_over: list[tuple[Mailing, datetime | None]]


def hold_everything(*, now: datetime) -> Held:
    """Pause the runs that are sending, cancel those that have not begun, let due slots pass.

    Again is harmless. Nothing that was not due by `now` is touched.
    """
    paused = list(Run.objects.filter(state=RunState.PAUSED).select_related("mailing"))
    sending = list(Run.objects.filter(state=RunState.SENDING).select_related("mailing"))
    to_come = list(
        Run.objects.filter(state__in=[RunState.SCHEDULED, RunState.PREPARING]).select_related(
            "mailing"
        )
    )
    due = list(Mailing.objects.due(now=now))
    held = Held(sending, paused, to_come, [(mailing, mailing.next_due_at) for mailing in due])
    held_because = _("Held after a restore: compare it with the relay's log before you resume it.")
    for run in sending:
        hold_run(run.pk, reason=held_because, now=now)
    cancelled_because = _(
        "Cancelled after a restore: look in the relay's log whether it went out since the backup."
    )
    for run in to_come:
        cancel_run(run.pk, by=None, now=now, reason=cancelled_because)
    for mailing in due:
        apply_schedule(mailing, now=now)  # no slot before `now`
    return held
