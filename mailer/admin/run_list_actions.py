"""Pausing, resuming and cancelling the runs that are selected in their list, each by itself."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet, Sum
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from admin_ext.components.numbers import format_number
from admin_ext.components.outcome import ActionDone
from mailer.exceptions import NotPossible
from mailer.models import Run
from mailer.services import control
from mailer.states import RUN_FINAL, RunState
from mailer.tasks import ring_after_commit


def only_sending(runs: QuerySet[Run]) -> QuerySet[Run]:
    return runs.filter(state=RunState.SENDING)


def only_paused(runs: QuerySet[Run]) -> QuerySet[Run]:
    return runs.filter(state=RunState.PAUSED)


def only_going(runs: QuerySet[Run]) -> QuerySet[Run]:
    return runs.exclude(state__in=RUN_FINAL)


def _question(runs: QuerySet[Run], count: int, words: str, note: str) -> str:
    left = runs.aggregate(pending=Sum("pending"), deferred=Sum("deferred"))
    waiting = (left["pending"] or 0) + (left["deferred"] or 0)
    rest = ngettext(
        "%(n)s delivery is still to come.", "%(n)s deliveries are still to come.", waiting
    )
    return f"{words % {'n': format_number(count)}} {rest % {'n': format_number(waiting)}}\n{note}"


def what_pause_does(runs: QuerySet[Run], count: int) -> str:
    words = ngettext("%(n)s run is paused.", "%(n)s runs are paused.", count)
    return _question(
        runs,
        count,
        words,
        _("What is on its way right now may still arrive; the rest waits until you resume it."),
    )


def what_resume_does(runs: QuerySet[Run], count: int) -> str:
    words = ngettext("%(n)s run goes on.", "%(n)s runs go on.", count)
    return _question(runs, count, words, _("Nobody who has it gets it again."))


def what_cancel_does(runs: QuerySet[Run], count: int) -> str:
    words = ngettext(
        "%(n)s run is cancelled for good.", "%(n)s runs are cancelled for good.", count
    )
    return _question(
        runs,
        count,
        words,
        _("What is on its way right now may still arrive; nothing else is sent."),
    )


def pause(request: HttpRequest, runs: QuerySet[Run]) -> ActionDone:
    return _each(
        request,
        runs,
        control.pause_run,
        say=lambda n: ngettext("%(n)s run is paused.", "%(n)s runs are paused.", n),
    )


def resume(request: HttpRequest, runs: QuerySet[Run]) -> ActionDone:
    return _each(
        request,
        runs,
        control.resume_run,
        say=lambda n: ngettext("%(n)s run goes on.", "%(n)s runs go on.", n),
    )


def cancel(request: HttpRequest, runs: QuerySet[Run]) -> ActionDone:
    return _each(
        request,
        runs,
        control.cancel_run,
        say=lambda n: ngettext("%(n)s run is cancelled.", "%(n)s runs are cancelled.", n),
    )


def button(words: Callable[[int], str]) -> Callable[[int], str]:
    return lambda count: words(count) % {"n": format_number(count)}


def _each(
    request: HttpRequest,
    runs: QuerySet[Run],
    act: Callable[..., object],
    *,
    say: Callable[[int], str],
) -> ActionDone:
    # No transaction around a cancel: its new state has to be seen before the rest is swept.
    by: Any = request.user
    done, refused = 0, []
    for run_id in list(runs.order_by("pk").values_list("pk", flat=True)):
        try:
            act(run_id, by=by, now=timezone.now())
            done += 1
        except NotPossible as refusal:
            refused.append(str(refusal))
    ring_after_commit()
    return ActionDone(
        " ".join([say(done) % {"n": format_number(done)}, *refused]),
        level=messages.WARNING if refused else messages.SUCCESS,
    )
