"""A schedule in plain words: "every Monday at 09:00, Asia/Taipei"."""

from collections.abc import Sequence
from datetime import datetime

from django.utils.dateformat import format as format_date
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from mailer.services.expressions import (
    WEEKDAY_CODES,
    Crontab,
    Rule,
    parse_crontab,
    parse_every,
    parse_rule,
)
from mailer.services.slots import Schedule

from .recurrence import MonthDay, month_day, parse_weekly

WORKING_DAYS = (0, 1, 2, 3, 4)  # Monday to Friday
TIMES_SHOWN = 4  # times of day that a sentence has room for


def describe_schedule(schedule: Schedule) -> str:
    """Say in plain words when a mailing goes out. Raises ScheduleError."""
    if schedule.kind == "manual":
        return _("only when somebody presses Send now")
    start = schedule.anchor.astimezone(schedule.zone)
    place = {
        "expression": schedule.expression,
        "date": format_date(start, "j M Y"),
        "time": format_date(start, "H:i"),
        "zone": schedule.zone.key,
    }
    if schedule.kind == "once":
        return _("once, on %(date)s at %(time)s, %(zone)s") % place
    if schedule.kind == "crontab":
        place["when"] = _describe_crontab(parse_crontab(schedule.expression))
        if place["when"]:
            words = _("%(when)s, %(zone)s") % place
        else:
            words = _("by crontab %(expression)s, %(zone)s") % place
    elif schedule.kind == "every" and parse_every(schedule.expression)[1] in {"minutes", "hours"}:
        words = _describe_every(schedule, start)
    else:
        words = _("%(days)s at %(time)s, %(zone)s") % {
            **place,
            "days": _describe_days(schedule, start),
        }
    if schedule.end is None:
        return words
    end = format_date(schedule.end.astimezone(schedule.zone), "j M Y, H:i")
    return _("%(schedule)s, until %(end)s") % {"schedule": words, "end": end}


def _describe_days(schedule: Schedule, start: datetime) -> str:
    if schedule.kind == "every":
        return _describe_every(schedule, start)
    if schedule.kind == "weekly":
        return _describe_weeks(*parse_weekly(schedule.expression))
    rule = parse_rule(schedule.expression, kind=schedule.kind)
    days = _describe_month_days(rule)
    if days is None:
        return _("monthly by the rule %(rule)s") % {"rule": schedule.expression}
    return ngettext(
        "on %(days)s of every month", "every %(count)d months on %(days)s", rule.interval
    ) % {"days": days, "count": rule.interval}


def _describe_every(schedule: Schedule, start: datetime) -> str:
    count, unit = parse_every(schedule.expression)
    if unit == "minutes":
        return ngettext("every minute", "every %(count)d minutes", count) % {"count": count}
    if unit == "hours":
        return ngettext("every hour", "every %(count)d hours", count) % {"count": count}
    if unit == "days":
        return ngettext("every day", "every %(count)d days", count) % {"count": count}
    return _describe_weeks((start.weekday(),), count)


def _describe_weeks(weekdays: tuple[int, ...], interval: int) -> str:
    if interval == 1 and len(weekdays) == len(WEEKDAY_CODES):
        return _("every day")
    if interval == 1 and weekdays == WORKING_DAYS:
        return _("every working day")
    return ngettext("every %(days)s", "every %(count)d weeks on %(days)s", interval) % {
        "days": _join_words([str(WEEKDAYS[day]) for day in weekdays]),
        "count": interval,
    }


def _describe_crontab(crontab: Crontab) -> str:
    """The common shapes in words; "" for any other."""
    often, days = _describe_often(crontab), _describe_crontab_days(crontab)
    if often:
        return often if days == _("every day") else ""
    times = [(hour, minute) for hour in sorted(crontab.hours) for minute in sorted(crontab.minutes)]
    if not days or len(times) > TIMES_SHOWN:
        return ""
    return _("%(days)s at %(time)s") % {
        "days": days,
        "time": _join_words([f"{hour:02}:{minute:02}" for hour, minute in times]),
    }


def _describe_often(crontab: Crontab) -> str:
    """ "every 15 minutes", "every 2 hours"; "" for what happens a few times a day, or unevenly."""
    if len(crontab.hours) == 24 and (count := _step(crontab.minutes, of=60)):
        if count == 60:
            return _("every hour")
        return ngettext("every minute", "every %(count)d minutes", count) % {"count": count}
    count = _step(crontab.hours, of=24)
    if crontab.minutes == {0} and 0 < count < 24:
        return ngettext("every hour", "every %(count)d hours", count) % {"count": count}
    return ""


def _step(found: frozenset[int], *, of: int) -> int:
    """How far the numbers from 0 to `of` that were found lie apart; 0 where it varies."""
    step = of // len(found)
    return step if found == frozenset(range(0, of, step)) and of % step == 0 else 0


def _describe_crontab_days(crontab: Crontab) -> str:
    if len(crontab.months) < 12:
        return ""
    if len(crontab.days) == 31:  # 0 is Sunday there, and Monday here
        return _describe_weeks(tuple(sorted((day - 1) % 7 for day in crontab.weekdays)), 1)
    # A later day is not in every month.
    if len(crontab.weekdays) < 7 or max(crontab.days) > 28:
        return ""
    days = [str(day) for day in sorted(crontab.days)]
    words = ngettext("day %(days)s", "days %(days)s", len(days)) % {"days": _join_words(days)}
    return _("on %(days)s of every month") % {"days": words}


_ORDINALS = {
    1: gettext_lazy("first"),
    2: gettext_lazy("second"),
    3: gettext_lazy("third"),
    4: gettext_lazy("fourth"),
    5: gettext_lazy("fifth"),
    -1: gettext_lazy("last"),
}


def _describe_month_days(rule: Rule) -> str | None:
    day = month_day(rule)
    if day is not None:
        return _describe_month_day(day)
    alone = not rule.bysetpos and not (rule.byday and rule.bymonthday)
    if alone and rule.bymonthday and all(0 < day <= 28 for day in rule.bymonthday):
        return _("days %(days)s") % {"days": _join_words([str(d) for d in sorted(rule.bymonthday)])}
    if alone and len(rule.byday) == 1 and rule.byday[0][1] in _ORDINALS:
        ((weekday, ordinal),) = rule.byday
        words = {"ordinal": _ORDINALS[ordinal], "weekday": WEEKDAYS[weekday]}
        return _("the %(ordinal)s %(weekday)s") % words
    return None


def _describe_month_day(day: MonthDay) -> str:
    if day == "last":
        return _("the last day")
    if day == "last working":
        return _("the last working day")
    words = _("day %(day)d (or the last day)") if day > 28 else _("day %(day)d")
    return words % {"day": day}


def _join_words(words: Sequence[str]) -> str:
    if len(words) == 1:
        return words[0]
    return _("%(some)s and %(last)s") % {"some": ", ".join(words[:-1]), "last": words[-1]}
