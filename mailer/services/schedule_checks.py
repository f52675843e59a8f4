"""Whether a schedule can be followed, and why not, in the reader's language."""

from dataclasses import replace
from datetime import timedelta

from django.utils.translation import gettext as _

from mailer.services.expressions import (
    ScheduleError,
)
from mailer.services.slots import Schedule, next_due

EXPRESSION_LENGTH = 200  # of a mailing's column


def validate_schedule(schedule: Schedule) -> None:
    """Raise ScheduleError, in the reader's language, for a schedule that can never be followed."""
    try:
        _check_schedule(schedule)
    except ScheduleError as error:
        raise ScheduleError(explain_error(error)) from error


def explain_error(error: ScheduleError) -> str:
    """Say in the reader's language what is wrong with a schedule and what to do."""
    translated = {"field", "kind"}
    params = {
        name: _(value) if name in translated and isinstance(value, str) else value
        for name, value in error.params.items()
    }
    return _(error.message) % params if params else _(error.message)


def _check_schedule(schedule: Schedule) -> None:
    if not 2000 <= schedule.anchor.year <= 2200:
        raise ScheduleError(_("The start is too far away. Choose a year from 2000 to 2200."))
    if len(schedule.expression) > EXPRESSION_LENGTH:
        raise ScheduleError(_("The schedule is too long. Choose fewer times."))
    if schedule.kind in {"manual", "once"} and schedule.expression:
        raise ScheduleError(_("This kind of schedule takes no rule. Leave the rule empty."))
    if schedule.kind == "manual":
        return
    before = schedule.anchor - timedelta(microseconds=1)
    if next_due(schedule, now=before) is not None:
        return
    if next_due(replace(schedule, end=None), now=before) is None:
        raise ScheduleError(_("The days of this schedule never come. Choose other days."))
    raise ScheduleError(_("The schedule ends before its first send. Choose a later end."))
