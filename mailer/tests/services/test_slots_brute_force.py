"""slots.py against a walk over every minute of the clock, in zones that do odd things."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, takewhile
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import crontab
from dateutil.rrule import rrulestr  # type: ignore[import-untyped, unused-ignore]
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.services.slots import Schedule, Slot, count_slots, latest_slot, next_slots

MINUTE = timedelta(minutes=1)
DAYS = 12  # of a window; slots are compared in its middle 8
WINDOWS = [
    ("UTC", datetime(2026, 2, 24, tzinfo=UTC)),
    ("Asia/Taipei", datetime(2026, 11, 20, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 3, 23, tzinfo=UTC)),  # 02:00 to 03:00 left out
    ("Europe/Berlin", datetime(2026, 10, 19, tzinfo=UTC)),  # 02:00 to 03:00 twice
    ("America/New_York", datetime(2026, 3, 2, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 10, 26, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 3, 30, tzinfo=UTC)),  # half an hour twice
    ("Australia/Lord_Howe", datetime(2026, 9, 28, tzinfo=UTC)),  # half an hour left out
    ("Africa/Casablanca", datetime(2026, 2, 9, tzinfo=UTC)),  # Ramadan begins
    ("Africa/Casablanca", datetime(2026, 3, 16, tzinfo=UTC)),  # and ends
    ("Asia/Kathmandu", datetime(1985, 12, 26, tzinfo=UTC)),  # 00:00 to 00:15 left out
    ("Pacific/Apia", datetime(2011, 12, 24, tzinfo=UTC)),  # 30 December left out
    ("America/Sao_Paulo", datetime(2018, 10, 29, tzinfo=UTC)),  # 00:00 to 01:00 left out
    ("America/Sao_Paulo", datetime(2018, 2, 12, tzinfo=UTC)),  # 23:00 to 24:00 twice
    ("Pacific/Kwajalein", datetime(1993, 8, 15, tzinfo=UTC)),  # 21 August left out
    ("Asia/Pyongyang", datetime(2018, 4, 28, tzinfo=UTC)),  # 23:30 to 24:00 left out
    ("America/Goose_Bay", datetime(2010, 11, 1, tzinfo=UTC)),  # 00:01 goes back to the day before
    ("America/Goose_Bay", datetime(2010, 3, 8, tzinfo=UTC)),  # 00:01 to 01:01 left out
    ("America/Scoresbysund", datetime(2024, 3, 25, tzinfo=UTC)),  # 00:00 shared by two offsets
]
Clock = dict[datetime, tuple[datetime, bool]]


@cache
def read_clock(zone: str, start: datetime) -> Clock:
    """Map each local minute of a window to its first instant, and whether it was left out."""
    clock: Clock = {}
    before: datetime | None = None
    for minute in range(DAYS * 24 * 60):
        at = start + minute * MINUTE
        local = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        clock.setdefault(local, (at, False))
        if before is not None:
            missing, late = before + MINUTE, at
            while missing < local:
                clock[missing] = (late, True)
                missing, late = missing + MINUTE, late + MINUTE
        before = local
    return clock


def walk_clock(
    clock: Clock, schedule: Schedule, *, is_due: Callable[[datetime], bool]
) -> list[tuple[datetime, bool]]:
    """Give every due (instant, in a gap) of the window in order."""
    due: dict[datetime, bool] = {}
    for local, (at, in_gap) in clock.items():
        if is_due(local) and at >= schedule.anchor and (not schedule.end or at <= schedule.end):
            due[at] = due.get(at, True) and in_gap
    return sorted(due.items())


def compare(
    schedule: Schedule, expected: list[tuple[datetime, bool]], *, start: datetime, now: datetime
) -> None:
    first, last = start + timedelta(days=2), start + timedelta(days=DAYS - 2)
    past = [at for at, _ in expected if first <= at <= now]
    coming = [(at, in_gap) for at, in_gap in expected if now < at <= last][:200]
    last = coming[-1][0] if len(coming) == 200 else last
    assert latest_slot(schedule, now=now, not_before=first) == max(past, default=None)
    found = next_slots(schedule, now=now, count=len(coming))
    assert [(slot.at, slot.in_gap) for slot in found] == coming
    assert count_slots(schedule, after=now, until=last) == len(coming)


def local_of(schedule: Schedule) -> datetime:
    return schedule.anchor.astimezone(schedule.zone).replace(tzinfo=None)


windows = st.sampled_from(WINDOWS)
minutes_in = st.integers(2 * 24 * 60, (DAYS - 2) * 24 * 60)
seconds = st.sampled_from([0, 0, 1, 30, 59])
# Anchors: years before the window, mostly at an hour at which clocks change, or inside the window.
anchor_days = st.one_of(st.integers(-3000, -1), st.integers(0, 6))
anchor_times = st.one_of(
    st.integers(0, 24 * 60 - 1), st.sampled_from([0, 30, 60, 105, 130, 150, 179, 180, 1410])
)


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, datetime, datetime, datetime, datetime | None]:
    """Draw a zone, its window's start, an anchor, now, and perhaps an end."""
    zone, start = draw(windows)
    wall = (start + timedelta(days=draw(anchor_days))).replace(tzinfo=ZoneInfo(zone))
    wall += timedelta(minutes=draw(anchor_times))
    now = start + timedelta(minutes=draw(minutes_in), seconds=draw(seconds))
    end = now + timedelta(minutes=draw(st.integers(-2000, 5000))) if draw(st.booleans()) else None
    return zone, start, wall.astimezone(UTC), now, end


number_fields = st.tuples(
    st.sampled_from(["0", "30", "*/5", "*/7", "0,15,59", "10-50/20", "45-15", "*"]),
    st.sampled_from(["*", "2", "0", "0-3", "23", "1-3/2", "*/6", "22-1", "2,9,17"]),
    st.sampled_from(["*", "*", "*", "1-7", "*/2", "25-5", "29", "30,31"]),
    st.sampled_from(["*", "*", "1-3,10-12", "dec", "*/2"]),
    st.sampled_from(["*", "*", "mon-fri", "0", "fri-mon", "6", "mon,wed"]),
)


@settings(max_examples=200, deadline=None)
@given(moments(), number_fields)
def test_crontab_matches_the_clock(
    drawn: tuple[str, datetime, datetime, datetime, datetime | None],
    fields: tuple[str, str, str, str, str],
) -> None:
    zone, start, anchor, now, end = drawn
    schedule = Schedule("crontab", " ".join(fields), anchor, ZoneInfo(zone), end)
    sets: Any = crontab(fields[0], fields[1], fields[4], fields[2], fields[3])

    def is_due(local: datetime) -> bool:
        return (
            local.minute in sets.minute
            and local.hour in sets.hour
            and local.day in sets.day_of_month
            and local.month in sets.month_of_year
            and local.isoweekday() % 7 in sets.day_of_week
        )

    expected = walk_clock(read_clock(zone, start), schedule, is_due=is_due)
    compare(schedule, expected, start=start, now=now)


@settings(max_examples=150, deadline=None)
@given(moments(), st.sampled_from([1, 2, 3, 5]), st.sampled_from(["days", "weeks"]))
def test_days_and_weeks_match_the_clock(
    drawn: tuple[str, datetime, datetime, datetime, datetime | None], count: int, unit: str
) -> None:
    zone, start, anchor, now, end = drawn
    schedule = Schedule("every", f"{count} {unit}", anchor, ZoneInfo(zone), end)
    step = count * (7 if unit == "weeks" else 1)
    origin = local_of(schedule)

    def is_due(local: datetime) -> bool:
        same_time = local.time() == origin.time()
        return same_time and (local.toordinal() - origin.toordinal()) % step == 0

    expected = walk_clock(read_clock(zone, start), schedule, is_due=is_due)
    compare(schedule, expected, start=start, now=now)


rules = st.one_of(
    st.builds(
        lambda days, interval: (
            "weekly",
            f"FREQ=WEEKLY;INTERVAL={interval};BYDAY={','.join(days)}",
        ),
        st.sets(st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"]), min_size=1),
        st.sampled_from([1, 1, 2, 3, 13]),
    ),
    st.builds(
        lambda days, interval: ("monthly", f"FREQ=MONTHLY;INTERVAL={interval};{days}"),
        st.sampled_from(
            [
                "BYMONTHDAY=1",
                "BYMONTHDAY=-1",
                "BYMONTHDAY=25,29,31",
                "BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
                "BYDAY=2MO,-1FR",
                "BYDAY=SU;BYSETPOS=1,-1",
                "BYMONTHDAY=28,29,30,31;BYSETPOS=-1",
                "BYDAY=FR,SA;BYMONTHDAY=1,2,3,28,29,30",
                "BYDAY=WE",
            ]
        ),
        st.sampled_from([1, 1, 2, 3, 12]),
    ),
)


@settings(max_examples=250, deadline=None)
@given(moments(), rules)
def test_rules_match_the_clock_and_plain_iteration_from_the_anchor(
    drawn: tuple[str, datetime, datetime, datetime, datetime | None], rule: tuple[str, str]
) -> None:
    zone, start, anchor, now, end = drawn
    schedule = Schedule(*rule, anchor, ZoneInfo(zone), end)
    stop = (start + timedelta(days=DAYS)).replace(tzinfo=None)
    walls = set(takewhile(stop.__gt__, rrulestr(rule[1], dtstart=local_of(schedule))))
    expected = walk_clock(read_clock(zone, start), schedule, is_due=walls.__contains__)
    compare(schedule, expected, start=start, now=now)


@settings(max_examples=100, deadline=None)
@given(moments(), st.sampled_from(["7 minutes", "15 minutes", "90 minutes", "1 hours", "5 hours"]))
def test_minutes_and_hours_match_counting_up(
    drawn: tuple[str, datetime, datetime, datetime, datetime | None], expression: str
) -> None:
    zone, start, anchor, now, end = drawn
    anchor = max(anchor, start - timedelta(days=9))  # counting up from years ago takes too long
    schedule = Schedule("every", expression, anchor.astimezone(ZoneInfo(zone)), ZoneInfo(zone), end)
    number, unit = expression.split()
    step = timedelta(**{unit: int(number)})
    expected, at = [], anchor
    while at < start + timedelta(days=DAYS):
        if end is None or at <= end:
            expected.append((at, False))
        at += step
    compare(schedule, expected, start=start, now=now)


@pytest.mark.parametrize(
    ("kind", "expression"),
    [
        ("every", "1 minutes"),
        ("every", "3 days"),
        ("crontab", "0,30 1-3 * * *"),
        ("weekly", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SU"),
        ("monthly", "FREQ=MONTHLY;BYMONTHDAY=29,30,31"),
    ],
)
def test_every_moment_between_two_slots_finds_the_first(kind: str, expression: str) -> None:
    """A firing that is early, late or repeated: the slot depends on nothing but the moment."""
    for zone, start in WINDOWS[2:10]:
        anchor = datetime(2020, 1, 5, 2, 30, tzinfo=ZoneInfo(zone))
        schedule = Schedule(kind, expression, anchor, ZoneInfo(zone))
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        slots = next_slots(schedule, now=start, count=20)
        for slot, following in pairwise(slots):
            assert isinstance(slot, Slot)
            span = following.at - slot.at
            for late in (0, 1e-6, 0.3, 0.999):
                now = slot.at + span * late
                assert latest_slot(schedule, now=now, not_before=long_ago) == slot.at
            early = slot.at - timedelta(microseconds=1)
            assert latest_slot(schedule, now=early, not_before=slot.at) is None
            ended = replace(schedule, end=slot.at)
            assert latest_slot(ended, now=following.at, not_before=long_ago) == slot.at
