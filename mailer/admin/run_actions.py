"""What staff do to a run: pause, resume and cancel it, retry what failed."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from admin_ext.components.numbers import format_number
from admin_ext.components.object_actions import ObjectAction
from mailer.exceptions import NotPossible
from mailer.models import Run
from mailer.services import control
from mailer.services.left_out import left_out_in_words
from mailer.services.retrying import Retry, count_retry, nothing_to_retry
from mailer.states import RUN_FINAL, RUN_SENDS_AGAIN, RunState
from mailer.tasks import ring_after_commit

from .bulk_words import done_in_words
from .resolving import RESOLVE, RETRY

CONTROL = "mailer.control_run"


def can_retry(run: Run) -> bool:
    return run.failed > 0 and run.state in RUN_SENDS_AGAIN


def asked_problem(request: HttpRequest) -> str | None:
    """The one reply group that a retry is asked for, by its link; None for all that failed."""
    return request.GET.get("problem") or None


def _pause(request: HttpRequest, run: Run, moment: datetime) -> str:
    with transaction.atomic():
        control.pause_run(run.pk, by=_by(request), now=timezone.now())
        ring_after_commit()
    return _(
        "Paused. What is on its way right now may still arrive; nothing else is sent until you"
        " resume it."
    )


def _resume(request: HttpRequest, run: Run, moment: datetime) -> str:
    with transaction.atomic():
        control.resume_run(run.pk, by=_by(request), now=timezone.now())
        ring_after_commit()
    return _("It goes on where it stopped.")


def _cancel(request: HttpRequest, run: Run, moment: datetime) -> str:
    # No transaction around it: its new state has to be seen before the rest is swept.
    control.cancel_run(run.pk, by=_by(request), now=timezone.now())
    ring_after_commit()
    return _("Cancelled. What is on its way right now may still arrive; nothing else is sent.")


def _retry(request: HttpRequest, run: Run, moment: datetime) -> str:
    problem = asked_problem(request)
    with transaction.atomic():
        action = control.retry_failed(run.pk, by=_by(request), now=timezone.now(), problem=problem)
        ring_after_commit()
        run.refresh_from_db(fields=["state"])
    words = done_in_words([action], say=lambda n: _retry_in_words(Retry(n, action.left_out)))
    return " ".join([words, *_while_paused(run)])


def _by(request: HttpRequest) -> Any:
    return request.user


def _what_retry_does(run: Any) -> str:
    retry = _asked_retry(run)
    if not retry.again:
        raise NotPossible(
            nothing_to_retry(run.pk, left_out=retry.left_out, problem=run.asked_problem)
        )
    lines = [_retry_in_words(retry)]
    if run.asked_problem is not None:
        only = _("Only those that failed with “%(problem)s”.")
        lines.append(only % {"problem": run.asked_problem})
    return "\n".join([*lines, *_while_paused(run), _("Nobody else gets it again.")])


def _while_paused(run: Run) -> list[str]:
    """What holds up a retry where its run is paused."""
    return (
        [_("The run is paused: nothing is sent until you resume it.")]
        if run.state == RunState.PAUSED
        else []
    )


def _retry_in_words(retry: Retry) -> str:
    """ "10 of the 20 failed deliveries are sent again. Left out: 10 suppressed." """
    if not retry.left_out:
        words = ngettext(
            "%(n)s failed delivery is sent again.",
            "%(n)s failed deliveries are sent again.",
            retry.again,
        )
        return words % {"n": format_number(retry.again)}
    words = ngettext(
        "%(n)s of the %(failed)s failed deliveries is sent again. Left out: %(who)s.",
        "%(n)s of the %(failed)s failed deliveries are sent again. Left out: %(who)s.",
        retry.again,
    )
    return words % {
        "n": format_number(retry.again),
        "failed": format_number(retry.failed),
        "who": left_out_in_words(retry.left_out),
    }


def _retry_button(run: Any) -> str:
    again = _asked_retry(run).again
    words = ngettext("Retry %(n)s delivery", "Retry %(n)s deliveries", again)
    return words % {"n": format_number(again)}


def _asked_retry(run: Any) -> Retry:
    return count_retry(run.pk, problem=run.asked_problem)


def _still_to_come(run: Run, rest: str) -> str:
    left = run.pending + run.deferred
    words = ngettext(
        "%(n)s delivery is still to come.", "%(n)s deliveries are still to come.", left
    )
    return f"{words % {'n': format_number(left)}} {rest}"


def _state_in_words(run: Run) -> str:
    return _("Run %(run)s is %(state)s.") % {
        "run": run.pk,
        "state": run.get_state_display().lower(),
    }


RUN_ACTIONS = (
    ObjectAction(
        name="pause",
        label=gettext_lazy("Pause"),
        permission=CONTROL,
        question=lambda run: _still_to_come(
            run,
            _("What is on its way right now may still arrive; the rest waits until you resume it."),
        ),
        run=_pause,
        available=lambda run: run.state == RunState.SENDING,
        why_not=_state_in_words,
    ),
    ObjectAction(
        name="resume",
        label=gettext_lazy("Resume"),
        permission=CONTROL,
        question=lambda run: _still_to_come(run, _("Nobody who has it gets it again.")),
        run=_resume,
        available=lambda run: run.state == RunState.PAUSED,
        why_not=_state_in_words,
    ),
    ObjectAction(
        name="cancel",
        label=gettext_lazy("Cancel run…"),
        permission=CONTROL,
        question=lambda run: _still_to_come(
            run,
            _(
                "What is on its way right now may still arrive; nothing else is sent."
                " This cannot be undone."
            ),
        ),
        button=lambda run: _("Cancel this run for good"),
        run=_cancel,
        available=lambda run: run.state not in RUN_FINAL,
        why_not=_state_in_words,
        dangerous=True,
    ),
    ObjectAction(
        name="retry",
        label=gettext_lazy("Retry failed…"),
        permission=RETRY,
        question=_what_retry_does,
        button=_retry_button,
        run=_retry,
        available=can_retry,
        why_not=lambda run: (
            _state_in_words(run) if run.failed else _("No delivery of this run has failed.")
        ),
    ),
    RESOLVE,
)
