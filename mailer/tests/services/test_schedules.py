"""Schedules in words, from and to a form, and refused with a reason."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation

from mailer.services.expressions import ScheduleError, parse_rule
from mailer.services.recurrence import (
    MonthDay,
    Monthly,
    Weekly,
    monthly_expression,
    parse_monthly,
    parse_weekly,
    weekly_expression,
)
from mailer.services.schedule_checks import explain_error, validate_schedule
from mailer.services.schedule_words import describe_schedule
from mailer.services.slots import Schedule, next_slots

TAIPEI = ZoneInfo("Asia/Taipei")
ANCHOR = datetime(2026, 11, 24, 9, tzinfo=TAIPEI)  # a Tuesday


def make_schedule(
    kind: str, expression: str = "", *, anchor: datetime = ANCHOR, end: datetime | None = None
) -> Schedule:
    return Schedule(kind, expression, anchor, TAIPEI, end)


@pytest.mark.parametrize(
    ("kind", "expression", "words"),
    [
        ("manual", "", "only when somebody presses Send now"),
        ("once", "", "once, on 24 Nov 2026 at 09:00, Asia/Taipei"),
        ("every", "1 minutes", "every minute"),
        ("every", "15 minutes", "every 15 minutes"),
        ("every", "1 hours", "every hour"),
        ("every", "2 hours", "every 2 hours"),
        ("every", "1 days", "every day at 09:00, Asia/Taipei"),
        ("every", "3 days", "every 3 days at 09:00, Asia/Taipei"),
        ("every", "1 weeks", "every Tuesday at 09:00, Asia/Taipei"),
        ("every", "2 weeks", "every 2 weeks on Tuesday at 09:00, Asia/Taipei"),
        ("weekly", "FREQ=WEEKLY;BYDAY=WE,MO", "every Monday and Wednesday at 09:00, Asia/Taipei"),
        (
            "weekly",
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE,SU",
            "every 2 weeks on Monday, Wednesday and Sunday at 09:00, Asia/Taipei",
        ),
        (
            "weekly",
            "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
            "every working day at 09:00, Asia/Taipei",
        ),
        ("weekly", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU", "every day at 09:00, Asia/Taipei"),
        (
            "monthly",
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
            "on the last working day of every month at 09:00, Asia/Taipei",
        ),
        (
            "monthly",
            "FREQ=MONTHLY;BYMONTHDAY=-1",
            "on the last day of every month at 09:00, Asia/Taipei",
        ),
        ("monthly", "FREQ=MONTHLY;BYMONTHDAY=1", "on day 1 of every month at 09:00, Asia/Taipei"),
        (
            "monthly",
            "FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=15",
            "every 3 months on day 15 at 09:00, Asia/Taipei",
        ),
        (
            "monthly",
            "FREQ=MONTHLY;BYMONTHDAY=28,29,30;BYSETPOS=-1",
            "on day 30 (or the last day) of every month at 09:00, Asia/Taipei",
        ),
        (
            "monthly",
            "FREQ=MONTHLY;BYMONTHDAY=15,1",
            "on days 1 and 15 of every month at 09:00, Asia/Taipei",
        ),
        (
            "monthly",
            "FREQ=MONTHLY;BYDAY=2TU",
            "on the second Tuesday of every month at 09:00, Asia/Taipei",
        ),
        (
            "monthly",
            "FREQ=MONTHLY;BYDAY=-1FR",
            "on the last Friday of every month at 09:00, Asia/Taipei",
        ),
        (
            "monthly",
            "FREQ=MONTHLY;BYMONTHDAY=31",  # leaves months out, unlike the form's day 31
            "monthly by the rule FREQ=MONTHLY;BYMONTHDAY=31 at 09:00, Asia/Taipei",
        ),
        ("crontab", "0 9 * * 1", "every Monday at 09:00, Asia/Taipei"),
        ("crontab", "* * * * *", "every minute, Asia/Taipei"),
        ("crontab", "*/15 * * * *", "every 15 minutes, Asia/Taipei"),
        ("crontab", "0 * * * *", "every hour, Asia/Taipei"),
        ("crontab", "0 */6 * * *", "every 6 hours, Asia/Taipei"),
        ("crontab", "5 9 * * *", "every day at 09:05, Asia/Taipei"),
        ("crontab", "0 9,17 * * 1-5", "every working day at 09:00 and 17:00, Asia/Taipei"),
        ("crontab", "30 8 * * 0,6", "every Saturday and Sunday at 08:30, Asia/Taipei"),
        ("crontab", "0 0 * * *", "every day at 00:00, Asia/Taipei"),
        ("crontab", "0 9 1 * *", "on day 1 of every month at 09:00, Asia/Taipei"),
        ("crontab", "0 9 1,15 * *", "on days 1 and 15 of every month at 09:00, Asia/Taipei"),
        *(
            ("crontab", other, f"by crontab {other}, Asia/Taipei")
            for other in (
                "0 9 31 * *",
                "0 9 13 * 5",
                "0 9 1 1 *",
                "*/7 * * * *",
                "*/5 * * * 1",
                "0 8-18 * * *",
                "5 * * * *",
                "0 */5 * * *",
            )
        ),
    ],
)
def test_schedules_in_words(kind: str, expression: str, words: str) -> None:
    schedule = make_schedule(kind, expression)
    validate_schedule(schedule)
    assert describe_schedule(schedule) == words


def test_working_days_of_every_other_week_are_named() -> None:
    schedule = make_schedule("weekly", weekly_expression(range(5), interval=2))
    words = "every 2 weeks on Monday, Tuesday, Wednesday, Thursday and Friday at 09:00, Asia/Taipei"
    assert describe_schedule(schedule) == words


def test_words_give_the_time_in_the_schedules_zone_and_its_end() -> None:
    anchor = datetime(2026, 11, 24, 1, tzinfo=UTC)
    end = datetime(2026, 12, 31, 16, tzinfo=UTC)
    schedule = make_schedule("weekly", "FREQ=WEEKLY;BYDAY=MO", anchor=anchor, end=end)
    words = "every Monday at 09:00, Asia/Taipei, until 1 Jan 2027, 00:00"
    assert describe_schedule(schedule) == words


def test_words_follow_the_readers_language() -> None:
    with translation.override("de"):
        assert "Montag" in describe_schedule(make_schedule("weekly", "FREQ=WEEKLY;BYDAY=MO"))


@pytest.mark.parametrize("kind", ["solar", "every", "weekly", "monthly", "crontab"])
def test_unreadable_schedules_are_not_described(kind: str) -> None:
    with pytest.raises(ScheduleError):
        describe_schedule(make_schedule(kind, "nonsense"))


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        (make_schedule("every", "0 minutes"), "Choose an interval"),
        (make_schedule("crontab", "0 9 31 2 *"), "never due"),
        (make_schedule("crontab", "0 25 * * *"), "The hour field"),
        (make_schedule("solar"), "not a kind of schedule"),
        (make_schedule("once", "0 9 * * 1"), "takes no rule"),
        (make_schedule("manual", "0 9 * * 1"), "takes no rule"),
        (make_schedule("monthly", "FREQ=MONTHLY;BYMONTHDAY=15;BYSETPOS=2"), "never come"),
        (
            make_schedule(
                "monthly",
                "FREQ=MONTHLY;INTERVAL=12;BYMONTHDAY=30",
                anchor=datetime(2026, 2, 1, tzinfo=TAIPEI),
            ),
            "never come",
        ),
        (make_schedule("every", "1 days", end=datetime(2026, 11, 24, tzinfo=UTC)), "ends before"),
        (make_schedule("once", end=datetime(2026, 11, 24, tzinfo=UTC)), "ends before"),
        (make_schedule("once", anchor=datetime(9999, 12, 31, tzinfo=UTC)), "year from 2000"),
        (make_schedule("crontab", f"{','.join(['10'] * 70)} * * * *"), "too long"),
    ],
)
def test_schedules_that_cannot_be_followed_are_refused(schedule: Schedule, reason: str) -> None:
    with pytest.raises(ScheduleError, match=reason):
        validate_schedule(schedule)


def test_schedule_due_just_once_more_is_valid() -> None:
    validate_schedule(make_schedule("once", end=ANCHOR))
    validate_schedule(make_schedule("manual"))
    validate_schedule(make_schedule("crontab", "0 9 29 2 1"))


def test_errors_are_explained_with_their_field() -> None:
    error = ScheduleError("%(field)s: %(text)s 100%%", field="hour", text="25")
    assert explain_error(error) == "hour: 25 100%"
    assert explain_error(ScheduleError("100%")) == "100%"


def test_weekly_expressions_go_there_and_back() -> None:
    assert weekly_expression([2, 0, 2]) == "FREQ=WEEKLY;BYDAY=MO,WE"
    assert parse_weekly("FREQ=WEEKLY;BYDAY=WE,MO,WE") == Weekly((0, 2), 1)
    assert parse_weekly(weekly_expression([6], interval=2)) == Weekly((6,), 2)


@pytest.mark.parametrize(
    ("weekdays", "interval"), [([], 1), ([7], 1), ([-1], 1), ([0], 0), ([0], 100)]
)
def test_impossible_weeks_are_refused(weekdays: list[int], interval: int) -> None:
    with pytest.raises(ScheduleError, match=r"at least one|cannot be part"):
        weekly_expression(weekdays, interval=interval)


@pytest.mark.parametrize("day", [*range(1, 32), "last", "last working"])
@pytest.mark.parametrize("interval", [1, 6])
def test_monthly_expressions_go_there_and_back(day: MonthDay, interval: int) -> None:
    assert parse_monthly(monthly_expression(day, interval=interval)) == Monthly(day, interval)


@pytest.mark.parametrize(
    ("day", "days"),
    [
        (28, [28, 28, 28, 28]),
        (29, [29, 28, 29, 29]),
        (30, [30, 28, 30, 30]),
        (31, [31, 28, 31, 30]),
        ("last", [31, 28, 31, 30]),
        ("last working", [29, 26, 31, 30]),
    ],
)
def test_shorter_months_send_on_their_last_day(day: MonthDay, days: list[int]) -> None:
    anchor = datetime(2027, 1, 1, 9, tzinfo=TAIPEI)
    schedule = make_schedule("monthly", monthly_expression(day), anchor=anchor)
    assert [slot.local.day for slot in next_slots(schedule, now=anchor, count=4)] == days


@pytest.mark.parametrize(("day", "interval"), [(0, 1), (32, 1), (-1, 1), (1, 0), (1, 100)])
def test_impossible_months_are_refused(day: int, interval: int) -> None:
    with pytest.raises(ScheduleError):
        monthly_expression(day, interval=interval)


def test_monthly_rules_beyond_the_form_are_not_guessed_at() -> None:
    parse_rule("FREQ=MONTHLY;BYDAY=2TU", kind="monthly")
    with pytest.raises(ScheduleError, match="not one of the form's"):
        parse_monthly("FREQ=MONTHLY;BYDAY=2TU")
