"""When schedules are due: the days on which clocks change, rare dates, ends, old anchors."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr  # type: ignore[import-untyped, unused-ignore]

from mailer.services import slots
from mailer.services.slots import Schedule, Slot, count_slots, latest_slot, next_due, next_slots

BERLIN = ZoneInfo("Europe/Berlin")
TAIPEI = ZoneInfo("Asia/Taipei")
LONG_AGO = datetime(1950, 1, 1, tzinfo=UTC)  # further from the schedules than the horizon
AT_HALF_PAST_TWO = [
    ("crontab", "30 2 * * *"),
    ("every", "1 days"),
    ("weekly", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU"),
    ("monthly", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR,SA,SU"),
]


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def wall(*parts: int) -> datetime:
    return utc(*parts).replace(tzinfo=None)  # naive, as Slot.local is


def berlin(kind: str, expression: str = "", *, at: str = "2020-01-06 02:30") -> Schedule:
    return Schedule(kind, expression, datetime.fromisoformat(at).replace(tzinfo=BERLIN), BERLIN)


@pytest.mark.parametrize(("kind", "expression"), AT_HALF_PAST_TWO)
def test_time_left_out_by_the_clock_goes_out_once_an_hour_later(kind: str, expression: str) -> None:
    found = next_slots(berlin(kind, expression), now=utc(2026, 3, 28, 12), count=2)
    assert found == [
        Slot(at=utc(2026, 3, 29, 1, 30), local=wall(2026, 3, 29, 2, 30), in_gap=True),
        Slot(at=utc(2026, 3, 30, 0, 30), local=wall(2026, 3, 30, 2, 30), in_gap=False),
    ]


@pytest.mark.parametrize(("kind", "expression"), AT_HALF_PAST_TWO)
def test_time_that_comes_twice_goes_out_the_first_time(kind: str, expression: str) -> None:
    schedule = berlin(kind, expression)
    found = next_slots(schedule, now=utc(2026, 10, 24, 12), count=2)
    assert [slot.at for slot in found] == [utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)]
    second_time = utc(2026, 10, 25, 1, 30)
    assert latest_slot(schedule, now=second_time, not_before=LONG_AGO) == found[0].at


def test_two_wall_times_at_one_instant_are_one_slot_that_exists() -> None:
    found = next_slots(berlin("crontab", "30 2,3 * * *"), now=utc(2026, 3, 29), count=2)
    assert found[0] == Slot(utc(2026, 3, 29, 1, 30), wall(2026, 3, 29, 3, 30), in_gap=False)
    assert found[1].at == utc(2026, 3, 30, 0, 30)


def test_half_an_hour_is_left_out_at_lord_howe() -> None:
    zone = ZoneInfo("Australia/Lord_Howe")
    schedule = Schedule("every", "1 days", datetime(2026, 9, 1, 2, 15, tzinfo=zone), zone)
    (slot,) = next_slots(schedule, now=utc(2026, 10, 3, 12), count=1)
    assert slot == Slot(utc(2026, 10, 3, 15, 45), wall(2026, 10, 4, 2, 15), in_gap=True)
    assert slot.at.astimezone(zone).time().isoformat() == "02:45:00"


def test_a_day_left_out_altogether_joins_the_next() -> None:
    zone = ZoneInfo("Pacific/Apia")
    schedule = Schedule("crontab", "0 9 * * *", datetime(2011, 12, 1, tzinfo=zone), zone)
    found = next_slots(schedule, now=utc(2011, 12, 29), count=3)
    assert [slot.local.day for slot in found] == [29, 31, 1]
    assert not any(slot.in_gap for slot in found)
    only_friday = Schedule("crontab", "0 9 * * 5", datetime(2011, 12, 1, tzinfo=zone), zone)
    (slot,) = next_slots(only_friday, now=utc(2011, 12, 29), count=1)
    assert slot == Slot(utc(2011, 12, 30, 19), wall(2011, 12, 30, 9), in_gap=True)


def test_a_slot_shifted_past_midnight_is_in_its_place() -> None:
    zone = ZoneInfo("Asia/Pyongyang")  # 4 May 2018, 23:30 became 5 May, 00:00
    schedule = Schedule("crontab", "5,50 0,23 * * *", datetime(2018, 5, 1, tzinfo=zone), zone)
    five_past, shifted = utc(2018, 5, 4, 15, 5), utc(2018, 5, 4, 15, 20)
    slots_found = next_slots(schedule, now=utc(2018, 5, 4, 15), count=3)
    assert [slot.at for slot in slots_found] == [five_past, shifted, utc(2018, 5, 4, 15, 50)]
    assert [slot.in_gap for slot in slots_found] == [False, True, False]
    after_both = utc(2018, 5, 4, 15, 25)
    assert latest_slot(schedule, now=after_both, not_before=LONG_AGO) == shifted
    assert next_due(schedule, now=five_past) == shifted
    assert latest_slot(schedule, now=after_both, not_before=shifted) == shifted


def test_a_clock_set_back_over_midnight_keeps_what_was_due() -> None:
    zone = ZoneInfo("America/Goose_Bay")  # 7 November 2010, 00:01 became 6 November, 23:01
    schedule = Schedule("crontab", "0 0 * * *", datetime(2010, 11, 1, tzinfo=zone), zone)
    half_an_hour_later = utc(2010, 11, 7, 3, 30)
    assert half_an_hour_later.astimezone(zone).day == 6
    found = latest_slot(schedule, now=half_an_hour_later, not_before=LONG_AGO)
    assert found == utc(2010, 11, 7, 3)


def test_a_day_left_out_before_the_anchor_does_not_shift_into_it() -> None:
    zone = ZoneInfo("Pacific/Kwajalein")  # no 21 August 1993, a Saturday
    rule = "FREQ=WEEKLY;BYDAY=MO,SA"
    schedule = Schedule("weekly", rule, datetime(1993, 8, 22, tzinfo=zone), zone)
    assert next_slots(schedule, now=LONG_AGO, count=1)[0].local == wall(1993, 8, 23)


def test_hours_go_by_the_instant_and_days_by_the_clock() -> None:
    now = utc(2026, 3, 29, 12)
    every_24_hours = berlin("every", "24 hours", at="2026-03-01 09:00")
    assert latest_slot(every_24_hours, now=now, not_before=LONG_AGO) == utc(2026, 3, 29, 8)
    every_day = berlin("every", "1 days", at="2026-03-01 09:00")
    assert latest_slot(every_day, now=now, not_before=LONG_AGO) == utc(2026, 3, 29, 7)


def test_moments_of_one_zone_are_not_compared_by_wall_clock() -> None:
    first_time = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
    second_time = first_time.replace(fold=1)
    schedule = Schedule("every", "30 minutes", first_time, BERLIN)
    assert latest_slot(schedule, now=second_time, not_before=first_time) == utc(2026, 10, 25, 1, 30)
    assert latest_slot(schedule, now=first_time, not_before=second_time) is None
    assert count_slots(schedule, after=first_time, until=second_time) == 2
    ends_the_first_time = Schedule("crontab", "15 2 * * *", LONG_AGO, BERLIN, end=first_time)
    assert next_due(ends_the_first_time, now=utc(2026, 10, 25)) == utc(2026, 10, 25, 0, 15)
    ended = Schedule("every", "5 minutes", utc(2026, 10, 25), BERLIN, end=first_time)
    quarter_past_again = second_time.replace(minute=15)  # 45 minutes after that end
    found = latest_slot(ended, now=quarter_past_again, not_before=LONG_AGO)
    assert found == utc(2026, 10, 25, 0, 30)


@pytest.mark.parametrize("weekday", range(7))
def test_29_february_on_a_given_weekday_is_found_across_2100(weekday: int) -> None:
    leap_days = [date(year, 2, 29) for year in range(2000, 2145, 4) if year != 2100]
    due = [day for day in leap_days if day.isoweekday() % 7 == weekday]
    schedule = Schedule("crontab", f"0 9 29 2 {weekday}", utc(2000, 1, 1), TAIPEI)
    for earlier, later in pairwise(due):
        between = datetime(earlier.year + 1, 1, 1, tzinfo=UTC)
        found = latest_slot(schedule, now=between, not_before=LONG_AGO)
        assert found == datetime(earlier.year, 2, 29, 1, tzinfo=UTC)
        assert next_due(schedule, now=between) == datetime(later.year, 2, 29, 1, tzinfo=UTC)


def test_beat_down_for_a_day() -> None:
    schedule = berlin("crontab", "0 */6 * * *")
    last_run, back = utc(2026, 11, 24, 5), utc(2026, 11, 25, 7, 40)
    assert latest_slot(schedule, now=back, not_before=last_run) == utc(2026, 11, 25, 5)
    assert count_slots(schedule, after=last_run, until=back) == 4  # the latest and three missed


def test_early_late_and_repeated_firings_find_one_slot() -> None:
    schedule = berlin("crontab", "0 9 * * 1")
    due = utc(2026, 11, 23, 8)
    week_before = due - timedelta(days=7)
    early, late = due - timedelta(seconds=2), due + timedelta(hours=30)
    assert latest_slot(schedule, now=early, not_before=LONG_AGO) == week_before
    found = {latest_slot(schedule, now=now, not_before=LONG_AGO) for now in (due, due, late)}
    assert found == {due}


def test_every_other_week_counts_from_the_week_of_the_anchor() -> None:
    # The anchor is a Thursday: the Monday of its own week has passed, the next is two weeks on.
    schedule = berlin("weekly", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR", at="2026-11-26 09:00")
    days = [slot.local.day for slot in next_slots(schedule, now=LONG_AGO, count=4)]
    assert days == [27, 7, 11, 21]


def test_last_working_day_of_each_quarter() -> None:
    rule = "FREQ=MONTHLY;INTERVAL=3;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"
    schedule = berlin("monthly", rule, at="2026-01-01 18:00")
    found = next_slots(schedule, now=LONG_AGO, count=4)
    assert [(slot.local.month, slot.local.day) for slot in found] == [
        (1, 30),
        (4, 30),
        (7, 31),
        (10, 30),
    ]


@pytest.mark.parametrize(
    "days",
    [
        *(
            f"BYDAY={ordinal}{code}"
            for ordinal in (1, 2, 4, 5, -1, -2, -5)
            for code in ("MO", "SU")
        ),
        *(f"BYDAY=MO,WE,TH;BYSETPOS={position}" for position in (1, 2, 13, -1, -2, -14)),
        *(f"BYMONTHDAY={day}" for day in (7, 28, 31, -1, -7, -31)),
    ],
)
def test_days_of_the_month_are_dateutils(days: str) -> None:
    rule = f"FREQ=MONTHLY;{days}"
    anchor = utc(2020, 1, 5, 9)
    schedule = Schedule("monthly", rule, anchor, ZoneInfo("UTC"))
    expected = list(islice(rrulestr(rule, dtstart=anchor), 30))
    assert [slot.at for slot in next_slots(schedule, now=LONG_AGO, count=30)] == expected


def test_once_is_due_at_its_instant_only() -> None:
    schedule = berlin("once", at="2026-11-24 09:00")
    due = utc(2026, 11, 24, 8)
    just_before, after = due - timedelta(microseconds=1), due + timedelta(days=900)
    assert next_slots(schedule, now=just_before, count=5) == [
        Slot(due, wall(2026, 11, 24, 9), in_gap=False)
    ]
    assert next_due(schedule, now=due) is None
    assert latest_slot(schedule, now=just_before, not_before=LONG_AGO) is None
    assert latest_slot(schedule, now=after, not_before=LONG_AGO) == due
    assert latest_slot(schedule, now=after, not_before=due) == due
    assert latest_slot(schedule, now=after, not_before=due + timedelta(seconds=1)) is None
    assert count_slots(schedule, after=LONG_AGO, until=after) == 1


def test_manual_is_never_due() -> None:
    schedule = berlin("manual")
    assert latest_slot(schedule, now=utc(2030, 1, 1), not_before=LONG_AGO) is None
    assert next_due(schedule, now=LONG_AGO) is None
    assert next_slots(schedule, now=LONG_AGO, count=3) == []
    assert count_slots(schedule, after=LONG_AGO, until=utc(2030, 1, 1)) == 0


ALL_REPEATING = [
    ("every", "15 minutes"),
    ("every", "1 days"),
    ("weekly", "FREQ=WEEKLY;BYDAY=TU"),
    ("monthly", "FREQ=MONTHLY;BYMONTHDAY=24"),
    ("crontab", "0 9 * * *"),
]


@pytest.mark.parametrize(("kind", "expression"), ALL_REPEATING)
def test_nothing_before_the_anchor_or_after_the_end(kind: str, expression: str) -> None:
    anchor = datetime(2026, 11, 24, 9, tzinfo=BERLIN)  # a Tuesday
    just_before = anchor - timedelta(microseconds=1)
    schedule = Schedule(kind, expression, anchor, BERLIN, end=anchor)
    assert next_due(schedule, now=LONG_AGO) == anchor
    assert next_due(schedule, now=anchor) is None
    assert latest_slot(schedule, now=just_before, not_before=LONG_AGO) is None
    assert latest_slot(schedule, now=utc(2030, 1, 1), not_before=LONG_AGO) == anchor
    assert count_slots(schedule, after=LONG_AGO, until=utc(2030, 1, 1)) == 1
    never = Schedule(kind, expression, anchor, BERLIN, end=just_before)
    assert next_due(never, now=LONG_AGO) is None
    assert latest_slot(never, now=utc(2030, 1, 1), not_before=LONG_AGO) is None


@pytest.mark.parametrize(("kind", "expression"), ALL_REPEATING)
def test_slots_are_utc_and_not_before_is_included(kind: str, expression: str) -> None:
    schedule = berlin(kind, expression, at="2024-01-01 09:00")
    now = datetime(2026, 11, 24, 9, tzinfo=BERLIN)
    for found in (
        next_due(schedule, now=now),
        latest_slot(schedule, now=now, not_before=now),
        next_slots(schedule, now=now, count=1)[0].at,
    ):
        assert found is not None
        assert found.tzinfo is UTC
    assert latest_slot(schedule, now=now, not_before=now) == now
    later = now + timedelta(microseconds=1)
    assert latest_slot(schedule, now=later, not_before=later) is None


def test_count_stops_at_its_limit() -> None:
    schedule = berlin("every", "1 minutes")
    assert count_slots(schedule, after=LONG_AGO, until=utc(2026, 1, 1), limit=7) == 7


def test_anchor_keeps_its_seconds() -> None:
    anchor = datetime(2026, 11, 24, 9, 0, 30, 250, tzinfo=BERLIN)
    for kind, expression in ALL_REPEATING[:4]:
        schedule = Schedule(kind, expression, anchor, BERLIN)
        assert next_due(schedule, now=LONG_AGO) == anchor


def test_naive_anchor_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        Schedule("once", "", datetime(2026, 11, 24), UTC)  # type: ignore[arg-type]  # noqa: DTZ001


@pytest.mark.parametrize(
    ("kind", "expression"),
    [
        ("every", "1 minutes"),
        ("every", "2 days"),
        ("crontab", "0 9 * * 1"),
        ("weekly", "FREQ=WEEKLY;INTERVAL=3;BYDAY=MO"),
        ("monthly", "FREQ=MONTHLY;INTERVAL=5;BYMONTHDAY=31"),
    ],
)
def test_old_anchors_cost_nothing(
    monkeypatch: pytest.MonkeyPatch, kind: str, expression: str
) -> None:
    opened = 0

    def count_pages(*arguments: object) -> list[Slot]:
        nonlocal opened
        opened += 1
        return open_page(*arguments)

    open_page: Callable[..., list[Slot]] = slots._slots_on
    monkeypatch.setattr(slots, "_slots_on", count_pages)
    schedule = berlin(kind, expression, at="1971-01-01 09:00")
    assert latest_slot(schedule, now=utc(2026, 11, 24), not_before=LONG_AGO) is not None
    assert next_due(schedule, now=utc(2026, 11, 24)) is not None
    assert opened <= 24
