"""What beat is told to fire; its own crontab is run by the minute to see that it does."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django_celery_beat.tzcrontab import (  # type: ignore[import-untyped, unused-ignore]
    TzAwareCrontab,
)

from mailer.services.expressions import ScheduleError
from mailer.services.slots import Schedule, next_slots
from mailer.services.wake_ups import (
    ClockedWakeUp,
    CrontabWakeUp,
    IntervalWakeUp,
    WakeUp,
    wake_up_for,
)

BERLIN = ZoneInfo("Europe/Berlin")
ANCHOR = datetime(2026, 1, 5, 8, 15, tzinfo=UTC)
DAILY = CrontabWakeUp("15", "9", "*", "*", "*", BERLIN)


@pytest.mark.parametrize(
    ("kind", "expression", "wake_up"),
    [
        ("manual", "", None),
        ("once", "", ClockedWakeUp(ANCHOR)),
        ("every", "15 minutes", IntervalWakeUp(900)),
        ("every", "2 hours", IntervalWakeUp(7200)),
        ("every", "1 days", DAILY),
        ("every", "2 weeks", DAILY),
        ("weekly", "FREQ=WEEKLY;BYDAY=MO", DAILY),
        ("monthly", "FREQ=MONTHLY;BYMONTHDAY=1", DAILY),
        (
            "crontab",
            "0 9 1-7 */2 mon",
            CrontabWakeUp("0", "9", "1-7", "*/2", "mon", BERLIN),
        ),
    ],
)
def test_wake_up_of_each_kind(kind: str, expression: str, wake_up: WakeUp | None) -> None:
    assert wake_up_for(Schedule(kind, expression, ANCHOR, BERLIN)) == wake_up


@pytest.mark.parametrize("kind", ["solar", "every", "weekly", "monthly", "crontab"])
def test_unreadable_schedules_have_no_wake_up(kind: str) -> None:
    with pytest.raises(ScheduleError):
        wake_up_for(Schedule(kind, "nonsense", ANCHOR, BERLIN))


def test_clocked_wake_up_is_in_utc() -> None:
    wake_up = wake_up_for(Schedule("once", "", ANCHOR.astimezone(BERLIN), BERLIN))
    assert isinstance(wake_up, ClockedWakeUp)
    assert wake_up.at.tzinfo is UTC


@pytest.mark.parametrize(
    ("seconds", "fields"), [(0, ("59", "23")), (0.001, ("0", "0")), (59, ("0", "0"))]
)
def test_wake_up_is_never_before_the_second(seconds: float, fields: tuple[str, str]) -> None:
    anchor = datetime(2026, 1, 5, 23, 59, tzinfo=BERLIN) + timedelta(seconds=seconds)
    wake_up = wake_up_for(Schedule("every", "1 days", anchor, BERLIN))
    assert isinstance(wake_up, CrontabWakeUp)
    assert (wake_up.minute, wake_up.hour) == fields


def fire_beat(wake_up: CrontabWakeUp, *, start: datetime, days: int) -> set[datetime]:
    """Ask beat's schedule every minute whether it is due, as beat would, and list when it was."""
    schedule = TzAwareCrontab(
        minute=wake_up.minute,
        hour=wake_up.hour,
        day_of_month=wake_up.day_of_month,
        month_of_year=wake_up.month_of_year,
        day_of_week=wake_up.day_of_week,
        tz=wake_up.zone,
    )
    fired, last_run_at = set(), start
    for minute in range(days * 24 * 60):
        now = start + timedelta(minutes=minute)
        with time_machine.travel(now, tick=False):
            if schedule.is_due(last_run_at).is_due:
                fired.add(now)
                last_run_at = now
    return fired


@pytest.mark.parametrize(
    ("zone", "start", "time", "kind"),
    [
        ("Europe/Berlin", datetime(2026, 3, 28, tzinfo=UTC), (2, 30), "weekly"),
        ("Europe/Berlin", datetime(2026, 10, 24, tzinfo=UTC), (2, 30), "weekly"),
        ("Australia/Lord_Howe", datetime(2026, 10, 3, tzinfo=UTC), (2, 15), "crontab"),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC), (1, 45), "crontab"),
        ("America/New_York", datetime(2026, 3, 7, tzinfo=UTC), (2, 0), "crontab"),
    ],
)
def test_beat_fires_at_every_slot_when_clocks_change(
    zone: str, start: datetime, time: tuple[int, int], kind: str
) -> None:
    anchor = datetime(2026, 1, 5, *time, tzinfo=ZoneInfo(zone))
    rule = f"{time[1]} {time[0]} * * *" if kind == "crontab" else "FREQ=WEEKLY;BYDAY=SA,SU,MO"
    schedule = Schedule(kind, rule, anchor, ZoneInfo(zone))
    stop = start + timedelta(days=2)
    due = {slot.at for slot in next_slots(schedule, now=start, count=4) if slot.at < stop}
    wake_up = wake_up_for(schedule)
    assert isinstance(wake_up, CrontabWakeUp)
    assert len(due) == 2
    assert due <= fire_beat(wake_up, start=start, days=2)
