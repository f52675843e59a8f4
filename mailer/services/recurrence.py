"""Weekly and monthly rules from a form's plain fields, and back to them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, TypeAlias

from django.utils.translation import gettext as _

from mailer.services.expressions import (
    WEEKDAY_CODES,
    Rule,
    ScheduleError,
    parse_rule,
)

MonthDay: TypeAlias = int | Literal["last", "last working"]


class Weekly(NamedTuple):
    """What a form shows of a weekly schedule."""

    weekdays: tuple[int, ...]
    interval: int


class Monthly(NamedTuple):
    """What a form shows of a monthly schedule."""

    day: MonthDay
    interval: int


def weekly_expression(weekdays: Sequence[int], *, interval: int = 1) -> str:
    """Build the expression of a weekly schedule; 0 is Monday. Raises ScheduleError."""
    if not weekdays or not all(0 <= day < len(WEEKDAY_CODES) for day in weekdays):
        raise ScheduleError(_("No such weekday. Choose at least one from Monday to Sunday."))
    codes = ",".join(WEEKDAY_CODES[day] for day in sorted(set(weekdays)))
    return _checked(f"FREQ=WEEKLY{_interval_part(interval)};BYDAY={codes}", kind="weekly")


def monthly_expression(day: MonthDay, *, interval: int = 1) -> str:
    """Build the expression of a monthly schedule. Raises ScheduleError.

    Day 29, 30 or 31 falls on the last day of a shorter month. RFC 5545 would leave that month out,
    which staff do not expect: so the rule takes the last of days 28 to `day` that the month has.
    """
    match day:
        case "last":
            days = "BYMONTHDAY=-1"
        case "last working":
            days = "BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"
        case _ if not 1 <= day <= 31:
            raise ScheduleError(_("No such day of the month. Choose one from 1 to 31."))
        case _ if day > 28:
            days = f"BYMONTHDAY={','.join(str(d) for d in range(28, day + 1))};BYSETPOS=-1"
        case _:
            days = f"BYMONTHDAY={day}"
    return _checked(f"FREQ=MONTHLY{_interval_part(interval)};{days}", kind="monthly")


def parse_weekly(expression: str) -> Weekly:
    """Read what weekly_expression built. Raises ScheduleError."""
    rule = parse_rule(expression, kind="weekly")
    return Weekly(tuple(sorted({day for day, _ordinal in rule.byday})), rule.interval)


def parse_monthly(expression: str) -> Monthly:
    """Read what monthly_expression built. Raises ScheduleError for any other monthly rule."""
    rule = parse_rule(expression, kind="monthly")
    day = month_day(rule)
    if day is None:
        raise ScheduleError(_("This monthly rule is not one of the form's. Choose the day again."))
    return Monthly(day, rule.interval)


def month_day(rule: Rule) -> MonthDay | None:
    """The day that monthly_expression would build this rule from; None if there is none."""
    choices: tuple[MonthDay, ...] = (*range(1, 32), "last", "last working")
    for day in choices:
        if parse_rule(monthly_expression(day), kind="monthly") == replace(rule, interval=1):
            return day
    return None


def _interval_part(interval: int) -> str:
    return "" if interval == 1 else f";INTERVAL={interval}"


def _checked(expression: str, *, kind: str) -> str:
    parse_rule(expression, kind=kind)
    return expression
