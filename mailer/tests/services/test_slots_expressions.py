"""Reading expressions: celery's crontab, exactly or not at all; RRULEs and intervals."""

import subprocess
import sys
from typing import Any

import pytest
from celery.schedules import crontab
from hypothesis import given
from hypothesis import strategies as st

from mailer.services.expressions import ScheduleError, parse_crontab, parse_every, parse_rule


def one_field(low: int, high: int, names: list[str]) -> st.SearchStrategy[str]:
    value = st.one_of(st.integers(low, high).map(str), st.sampled_from(names or [str(low)]))
    spans = st.one_of(st.just("*"), st.builds("{}-{}".format, value, value))
    steps = st.builds("{}/{}".format, spans, st.integers(1, high - low))
    return st.lists(st.one_of(value, spans, steps), min_size=1, max_size=4).map(",".join)


@given(
    one_field(0, 59, []),
    one_field(0, 23, []),
    one_field(1, 28, []),
    one_field(1, 12, ["jan", "Feb", "DEC"]),
    one_field(0, 6, ["sun", "Mon", "SAT"]),
)
def test_crontab_is_expanded_as_celery_does(
    minute: str, hour: str, day: str, month: str, weekday: str
) -> None:
    ours = parse_crontab(f"{minute} {hour} {day} {month} {weekday}")
    theirs: Any = crontab(minute, hour, weekday, day, month)
    assert ours.minutes == theirs.minute
    assert ours.hours == theirs.hour
    assert ours.days == theirs.day_of_month
    assert ours.months == theirs.month_of_year
    assert ours.weekdays == theirs.day_of_week


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ("60 * * * *", "minute"),
        ("5/15 * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("*/60 * * * *", "minute"),
        ("0 */24 * * *", "hour"),
        ("1-5-7 * * * *", "minute"),  # celery reads 1-5
        ("*/5-7 * * * *", "minute"),
        ("0,,1 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("٣ * * * *", "minute"),  # a digit to int(), not to staff
        ("0 24 * * *", "hour"),
        ("0 mon * * *", "hour"),  # celery reads 1
        ("0 9 0 * *", "day of month"),
        ("0 9 L * *", "day of month"),
        ("0 9 * 13 *", "month"),
        ("0 9 * mon *", "month"),
        ("0 9 * * 7", "day of week"),
        ("0 9 * * monster", "day of week"),  # celery reads mon
        (f"{','.join(['1'] * 130)} * * * *", "minute"),  # longer than beat's column
    ],
)
def test_unclear_crontab_names_its_field(expression: str, field: str) -> None:
    with pytest.raises(ScheduleError, match=f"^The {field} field does not understand .* Write "):
        parse_crontab(expression)


@pytest.mark.parametrize("expression", ["0 0 31 2 *", "0 0 30,31 feb *", "0 0 31 4,6,9,11 1"])
def test_date_that_never_comes_is_refused(expression: str) -> None:
    with pytest.raises(ScheduleError, match="never due"):
        parse_crontab(expression)


@pytest.mark.parametrize("expression", ["0 0 29 2 1", "0 0 31 2,3 *", "0 0 30 4 *"])
def test_rare_dates_are_allowed(expression: str) -> None:
    parse_crontab(expression)


@pytest.mark.parametrize("expression", ["", "0 9 * *", "0 9 * * * *", "@daily"])
def test_crontab_needs_five_fields(expression: str) -> None:
    with pytest.raises(ScheduleError, match="five fields"):
        parse_crontab(expression)


def test_intervals() -> None:
    assert parse_every("15 minutes") == (15, "minutes")
    assert parse_every("1 day") == (1, "days")
    assert parse_every("52 weeks") == (52, "weeks")


@pytest.mark.parametrize(
    "expression",
    [
        *("", "15", "minutes", "0 minutes", "-5 minutes", "1.5 hours", "2 months", "1  days"),
        *("3 days\n", "367 days", "53 weeks", "999999 weeks", "90 seconds", "٣ days"),
    ],
)
def test_nonsense_intervals_are_refused(expression: str) -> None:
    with pytest.raises(ScheduleError, match="interval"):
        parse_every(expression)


@pytest.mark.parametrize(
    ("kind", "expression"),
    [
        ("weekly", ""),
        ("weekly", "FREQ=WEEKLY"),
        ("weekly", "BYDAY=MO"),
        ("weekly", "FREQ=WEEKLY;BYDAY="),
        ("weekly", "FREQ=WEEKLY;BYDAY=2MO"),
        ("weekly", "FREQ=WEEKLY;BYDAY=XX"),
        ("weekly", "FREQ=WEEKLY;BYDAY=MO;BYDAY=TU"),
        ("weekly", "FREQ=WEEKLY;BYDAY=MO;INTERVAL=0"),
        ("weekly", "FREQ=WEEKLY;BYDAY=MO;INTERVAL=1,2"),
        ("weekly", "FREQ=WEEKLY;BYDAY=MO;WKST=SU"),
        ("weekly", "FREQ=WEEKLY;BYDAY=MO;COUNT=3"),
        ("weekly", "FREQ=WEEKLY;BYDAY=MO;UNTIL=20270101"),
        ("weekly", "FREQ=WEEKLY;BYDAY=MO;BYHOUR=9"),
        ("weekly", "FREQ=WEEKLY;BYDAY=MO;BYMONTHDAY=1"),
        ("weekly", "FREQ=WEEKLY;BYDAY=MO;"),
        ("weekly", "FREQ=MONTHLY;BYDAY=MO"),
        ("weekly", "RRULE:FREQ=WEEKLY;BYDAY=MO"),
        ("monthly", "FREQ=WEEKLY;BYDAY=MO"),
        ("monthly", "FREQ=MONTHLY"),
        ("monthly", "FREQ=MONTHLY;BYSETPOS=1"),
        ("monthly", "FREQ=MONTHLY;BYMONTHDAY=0"),
        ("monthly", "FREQ=MONTHLY;BYMONTHDAY=32"),
        ("monthly", "FREQ=MONTHLY;BYMONTHDAY=1;BYSETPOS=0"),
        ("monthly", "FREQ=MONTHLY;BYDAY=6MO"),
        ("monthly", "FREQ=MONTHLY;BYDAY=0MO"),
        ("monthly", "FREQ=MONTHLY;BYMONTHDAY=1;BYMINUTE=5"),
        ("monthly", "FREQ=MONTHLY;BYMONTHDAY=1\n"),
        ("yearly", "FREQ=YEARLY"),
        ("solar", ""),
    ],
)
def test_rules_that_do_not_fit_are_refused(kind: str, expression: str) -> None:
    with pytest.raises(ScheduleError, match="Choose"):
        parse_rule(expression, kind=kind)


def test_slots_need_no_configured_django() -> None:
    program = """
from datetime import UTC, datetime
from zoneinfo import ZoneInfo
from mailer.services.expressions import ScheduleError
from mailer.services.slots import Schedule, next_due
now = datetime(2026, 11, 24, tzinfo=UTC)
try:
    next_due(Schedule("every", "0 minutes", now, ZoneInfo("UTC")), now=now)
except ScheduleError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env={}, capture_output=True, text=True, check=True
    )
    assert "Choose an interval from 1 minute to 1 year." in done.stdout
