"""A schedule in beat's terms.

What is due is decided in slots.py alone. The wake-up only makes a mailing start at once; every 15 s
a tick looks for due mailings too, so a wake-up missed costs seconds and one too many costs a query.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

from mailer.services.expressions import (
    parse_crontab,
    parse_every,
    parse_rule,
)
from mailer.services.slots import Schedule


@dataclass(frozen=True, slots=True)
class CrontabWakeUp:
    """Beat fires by this crontab in this zone; fields as django-celery-beat names its columns."""

    minute: str
    hour: str
    day_of_month: str
    month_of_year: str
    day_of_week: str
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class IntervalWakeUp:
    """Beat fires every so many seconds."""

    seconds: int


@dataclass(frozen=True, slots=True)
class ClockedWakeUp:
    """Beat fires once, at this instant (UTC)."""

    at: datetime


WakeUp: TypeAlias = CrontabWakeUp | IntervalWakeUp | ClockedWakeUp


def wake_up_for(schedule: Schedule) -> WakeUp | None:
    """Say what beat must fire so that no slot is left to the tick for long; None for manual.

    Beat's crontab agrees with slots.py when the clocks change: a time in a gap fires once, shifted.
    A local day left out altogether (Pacific/Apia, 30 December 2011) is found by the tick alone.
    An interval has the schedule's length but beat's phase, so the tick may be there first.
    Raises ScheduleError.
    """
    match schedule.kind:
        case "manual":
            return None
        case "once":
            return ClockedWakeUp(schedule.anchor.astimezone(UTC))
        case "crontab":
            parse_crontab(schedule.expression)
            minute, hour, day, month, weekday = schedule.expression.split()
            return CrontabWakeUp(minute, hour, day, month, weekday, schedule.zone)
        case "every":
            count, unit = parse_every(schedule.expression)
            if unit in {"minutes", "hours"}:
                return IntervalWakeUp(count * (60 if unit == "minutes" else 3600))
        case kind:
            parse_rule(schedule.expression, kind=kind)
    # Every day, never beat's "every 1 day": that is 24 hours, and drifts when the clocks change.
    # A time with seconds wakes at the next full minute: the minute before would be too early.
    local = schedule.anchor.astimezone(schedule.zone) + timedelta(minutes=1, microseconds=-1)
    return CrontabWakeUp(str(local.minute), str(local.hour), "*", "*", "*", schedule.zone)
