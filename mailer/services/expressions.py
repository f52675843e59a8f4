"""Reading a schedule's expression: an interval, a weekly or monthly rule, a crontab.

Pure functions: no clock, no database, no configured Django.
"""

import re
from calendar import monthrange
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from celery.schedules import crontab_parser

from mailer.exceptions import MailerError

WEEKDAY_CODES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def gettext_noop(message: str) -> str:
    # Marks a string for makemessages. Django's own asks for configured settings.
    return message


UNKNOWN_KIND = gettext_noop("“%(kind)s” is not a kind of schedule. Choose one from the list.")


class ScheduleError(MailerError):
    """A schedule that cannot be followed. English; schedule_checks.explain_error translates it."""

    def __init__(self, message: str, **params: str | int) -> None:
        super().__init__(message, params)
        self.message = message
        self.params = params

    def __str__(self) -> str:
        return self.message % self.params if self.params else self.message


@lru_cache(maxsize=512)
def parse_every(expression: str) -> tuple[int, str]:
    """Read "15 minutes" as (15, "minutes"). Raises ScheduleError outside one minute to a year."""
    match = re.fullmatch(r"([0-9]{1,6}) (minute|hour|day|week)s?", expression, re.ASCII)
    if match is None:
        raise ScheduleError(
            gettext_noop(
                "“%(expression)s” is not an interval. Write a number and minutes, hours, days or"
                " weeks, such as 15 minutes."
            ),
            expression=expression,
        )
    count, unit = int(match[1]), f"{match[2]}s"
    if not timedelta(0) < timedelta(**{unit: count}) <= timedelta(days=366):
        raise ScheduleError(
            gettext_noop(
                "“%(expression)s” is not possible. Choose an interval from 1 minute to 1 year."
            ),
            expression=expression,
        )
    return count, unit


@dataclass(frozen=True, slots=True)
class Rule:
    """A weekly or monthly RRULE body, read (RFC 5545 §3.3.10, the parts staff can choose).

    `byday` holds (weekday, ordinal) with 0 for Monday, and ordinal 0 for every one of them.
    """

    interval: int
    byday: tuple[tuple[int, int], ...]
    bymonthday: tuple[int, ...]
    bysetpos: tuple[int, ...]


_RULE_PARTS = {
    "weekly": {
        "FREQ": "WEEKLY",
        "INTERVAL": "[1-9][0-9]?",
        "WKST": "MO",
        "BYDAY": f"({'|'.join(WEEKDAY_CODES)})",
    },
    "monthly": {
        "FREQ": "MONTHLY",
        "INTERVAL": "[1-9][0-9]?",
        "WKST": "MO",
        "BYDAY": f"([+-]?[1-5])?({'|'.join(WEEKDAY_CODES)})",
        "BYMONTHDAY": "[+-]?([1-9]|[12][0-9]|3[01])",
        "BYSETPOS": "[+-]?([1-9]|[12][0-9]|3[01])",
    },
}
_RULE_LISTS = {"BYDAY", "BYMONTHDAY", "BYSETPOS"}


@lru_cache(maxsize=512)
def parse_rule(expression: str, *, kind: str) -> Rule:
    """Read the RRULE body of a "weekly" or "monthly" schedule. Raises ScheduleError."""
    if kind not in _RULE_PARTS:
        raise ScheduleError(UNKNOWN_KIND, kind=kind)
    allowed = _RULE_PARTS[kind]
    parts: dict[str, list[str]] = {}
    for part in expression.split(";"):
        name, _, text = part.partition("=")
        values = text.split(",") if name in _RULE_LISTS else [text]
        known = name in allowed and name not in parts
        if not known or not all(re.fullmatch(allowed[name], value) for value in values):
            raise ScheduleError(
                gettext_noop(
                    "“%(part)s” cannot be part of a %(kind)s schedule. Choose the days again."
                ),
                part=part,
                kind=kind,
            )
        parts[name] = values
    if "FREQ" not in parts or not parts.keys() & {"BYDAY", "BYMONTHDAY"}:
        raise ScheduleError(
            gettext_noop("A %(kind)s schedule needs at least one day. Choose a day."), kind=kind
        )
    return Rule(
        interval=int(parts.get("INTERVAL", ["1"])[0]),
        byday=tuple(
            (WEEKDAY_CODES.index(code[-2:]), int(code[:-2] or 0)) for code in parts.get("BYDAY", ())
        ),
        bymonthday=tuple(int(day) for day in parts.get("BYMONTHDAY", ())),
        bysetpos=tuple(int(position) for position in parts.get("BYSETPOS", ())),
    )


@dataclass(frozen=True, slots=True)
class Crontab:
    """A crontab as celery expands it; weekdays count from 0 for Sunday."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    width: int  # of beat's column (django-celery-beat 2.9)
    names: tuple[str, ...] = ()


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_CRONTAB_FIELDS = (
    _Field(gettext_noop("minute"), 0, 59, width=240),
    _Field(gettext_noop("hour"), 0, 23, width=96),
    _Field(gettext_noop("day of month"), 1, 31, width=124),
    _Field(gettext_noop("month"), 1, 12, width=64, names=_MONTHS),
    _Field(gettext_noop("day of week"), 0, 6, width=64, names=_WEEKDAYS),
)


@lru_cache(maxsize=512)
def parse_crontab(expression: str) -> Crontab:
    """Read five crontab fields. Raises ScheduleError naming the field, or for a date never met."""
    fields = expression.split()
    if len(fields) != len(_CRONTAB_FIELDS):
        raise ScheduleError(
            gettext_noop(
                "A crontab has five fields (minute, hour, day of month, month, day of week); this"
                " has %(count)d. Write for example 0 9 * * 1."
            ),
            count=len(fields),
        )
    minutes, hours, days, months, weekdays = (
        _expand_field(text, field) for text, field in zip(fields, _CRONTAB_FIELDS, strict=True)
    )
    if min(days) > max(monthrange(2000, month)[1] for month in months):  # 2000: a leap year
        raise ScheduleError(
            gettext_noop(
                "Day of month %(days)s does not exist in month %(months)s, so this crontab is never"
                " due. Change one of the two fields."
            ),
            days=fields[2],
            months=fields[3],
        )
    return Crontab(minutes, hours, days, months, weekdays)


def _expand_field(text: str, field: _Field) -> frozenset[int]:
    # Stricter than celery, which reads "1-5-7" as 1-5 and the hour "mon" as 1.
    value = "|".join(["[0-9]{1,2}", *field.names])
    pattern = rf"(\*|({value})-({value}))(/[0-9]{{1,2}})?|({value})"
    parts = text.lower().split(",")
    size = field.high - field.low + 1
    clear = len(text) <= field.width and all(re.fullmatch(pattern, part) for part in parts)
    # A step past the field's end would quietly mean "once".
    if clear and all(int(part.partition("/")[2] or 1) < size for part in parts):
        with suppress(ValueError):  # a number outside the field, or a step of 0
            return frozenset(crontab_parser(size, field.low).parse(text.lower()))
    raise ScheduleError(
        gettext_noop(
            "The %(field)s field does not understand “%(text)s”. Write *, a number from %(low)d to"
            " %(high)d, a range such as 2-5, a list such as 2,5 or a step such as */2."
        ),
        field=field.name,
        text=text,
        low=field.low,
        high=field.high,
    )
