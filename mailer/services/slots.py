"""When a mailing is due: a schedule in, instants out.

Pure functions: no clock, no database, no configured Django. A *slot* is an instant at which a
schedule is due. Beat only wakes the mailing; what is due is decided here, so a wake-up that comes
early, late or twice finds the same slot.

Wall-clock schedules are walked in *pages* of whole local days (a day, n weeks, n months), numbered
from the anchor. Any page can be opened by itself, so the cost does not grow with the anchor's age.
"""

from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import count as count_up
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from .expressions import (
    UNKNOWN_KIND,
    Crontab,
    Rule,
    ScheduleError,
    parse_crontab,
    parse_every,
    parse_rule,
)

HORIZON = timedelta(days=41 * 366)  # "29 February, a Monday" can be 40 years away (2096 to 2104)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a mailing goes out. Raises ValueError if anchor or end is naive.

    The anchor is the first possible moment, and gives "every", "weekly" and "monthly" their phase
    and their time of day in `zone`. `end` is the last possible moment. Expressions by kind:

    - manual, once: empty (once is due at the anchor)
    - every: "15 minutes", "2 hours", "1 days", "2 weeks"
    - weekly: "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE"
    - monthly: "FREQ=MONTHLY;BYMONTHDAY=1", "FREQ=MONTHLY;BYDAY=2TU"
    - crontab: "0 9 * * 1" (minute, hour, day of month, month, day of week; celery's syntax)
    """

    kind: str
    expression: str
    anchor: datetime
    zone: ZoneInfo
    end: datetime | None = None

    def __post_init__(self) -> None:
        if self.anchor.tzinfo is None or (self.end is not None and self.end.tzinfo is None):
            raise ValueError("A schedule's anchor and end must be aware datetimes.")


@dataclass(frozen=True, slots=True)
class Slot:
    """One due time. `at` (UTC) is when it goes out, `local` the naive wall time asked for.

    With `in_gap` that wall time does not exist on that day (clocks go forward over it); it goes out
    later by the length of the gap: 02:30 in a gap of one hour goes out at 03:30.
    """

    at: datetime
    local: datetime
    in_gap: bool


def latest_slot(schedule: Schedule, *, now: datetime, not_before: datetime) -> datetime | None:
    """Give the latest due time (UTC) in [not_before, now], or None. Raises ScheduleError."""
    top = _until(schedule, now)
    floor = max(_utc(not_before), _utc(schedule.anchor))
    if step := _fixed_step(schedule):
        anchor = _utc(schedule.anchor)
        at = anchor + (top - anchor) // step * step
        return at if at >= floor else None
    return max((slot.at for slot in _slots_back(schedule, floor=floor, top=top)), default=None)


def next_slots(schedule: Schedule, *, now: datetime, count: int) -> list[Slot]:
    """Give the next `count` slots strictly after now, earliest first. Raises ScheduleError."""
    return list(islice(_slots_after(schedule, after=_utc(now)), count))


def next_due(schedule: Schedule, *, now: datetime) -> datetime | None:
    """Give the first due time (UTC) strictly after now, or None. Raises ScheduleError."""
    return next((slot.at for slot in _slots_after(schedule, after=_utc(now))), None)


def count_slots(
    schedule: Schedule, *, after: datetime, until: datetime, limit: int = 10_000
) -> int:
    """Count the due times in (after, until], but no further than limit. Raises ScheduleError."""
    top = _until(schedule, until)
    slots = _slots_after(schedule, after=_utc(after))
    return sum(1 for _ in islice(takewhile(lambda slot: slot.at <= top, slots), limit))


# --- Pages of wall-clock time --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pages:
    """A wall-clock schedule in numbered pages: which page a date is on, and what a page holds."""

    number_of: Callable[[date], int]
    walls_on: Callable[[int], Iterable[datetime]]  # naive local times; pages do not share a day


def _open_pages(schedule: Schedule) -> _Pages:
    start = schedule.anchor.astimezone(schedule.zone).replace(tzinfo=None)
    match schedule.kind:
        case "crontab":
            return _crontab_pages(parse_crontab(schedule.expression))
        case "every":
            count, unit = parse_every(schedule.expression)
            return _every_pages(start, days=count * (7 if unit == "weeks" else 1))
        case "weekly":
            return _weekly_pages(parse_rule(schedule.expression, kind="weekly"), start)
        case "monthly":
            return _monthly_pages(parse_rule(schedule.expression, kind="monthly"), start)
    raise ScheduleError(UNKNOWN_KIND, kind=schedule.kind)


def _crontab_pages(crontab: Crontab) -> _Pages:
    times = [time(hour, minute) for hour in crontab.hours for minute in crontab.minutes]

    def walls_on(page: int) -> Iterable[datetime]:
        day = date.fromordinal(page)
        if (
            day.month in crontab.months
            and day.day in crontab.days
            and day.isoweekday() % 7 in crontab.weekdays
        ):
            return [datetime.combine(day, at) for at in times]
        return ()

    return _Pages(date.toordinal, walls_on)


def _every_pages(start: datetime, *, days: int) -> _Pages:
    # Calendar days, not beat's 24 hours: 09:00 stays 09:00 when the clocks change.
    origin = start.toordinal()
    return _Pages(
        lambda day: (day.toordinal() - origin) // days,
        lambda page: [datetime.combine(date.fromordinal(origin + page * days), start.time())],
    )


def _weekly_pages(rule: Rule, start: datetime) -> _Pages:
    days = 7 * rule.interval
    monday = start.toordinal() - start.weekday()

    def walls_on(page: int) -> list[datetime]:
        first = monday + page * days
        return _walls_from(start, [date.fromordinal(first + day) for day, _ordinal in rule.byday])

    return _Pages(lambda day: (day.toordinal() - monday) // days, walls_on)


def _monthly_pages(rule: Rule, start: datetime) -> _Pages:
    origin = start.year * 12 + start.month - 1

    def walls_on(page: int) -> list[datetime]:
        year, month = divmod(origin + page * rule.interval, 12)
        return _walls_from(start, _expand_month(rule, year, month + 1))

    return _Pages(lambda day: (day.year * 12 + day.month - 1 - origin) // rule.interval, walls_on)


def _walls_from(start: datetime, days: list[date]) -> list[datetime]:
    # By wall clock (RFC 5545): a day left out just before the start does not shift into it.
    return [wall for day in days if (wall := datetime.combine(day, start.time())) >= start]


def _expand_month(rule: Rule, year: int, month: int) -> list[date]:
    # Not dateutil's rrule: it cannot open one month. A rule that never comes walks to year 9999.
    length = monthrange(year, month)[1]
    days = []
    for day in (date(year, month, number) for number in range(1, length + 1)):
        from_end = length + 1 - day.day
        ordinals = (0, (day.day + 6) // 7, -((from_end + 6) // 7))
        on_weekday = any((day.weekday(), ordinal) in rule.byday for ordinal in ordinals)
        on_month_day = day.day in rule.bymonthday or -from_end in rule.bymonthday
        if (on_weekday or not rule.byday) and (on_month_day or not rule.bymonthday):
            days.append(day)
    if not rule.bysetpos:
        return days
    count = len(days)
    return [d for i, d in enumerate(days) if i + 1 in rule.bysetpos or i - count in rule.bysetpos]


# --- Walking -------------------------------------------------------------------------------------


def _utc(moment: datetime) -> datetime:
    # Before any arithmetic: two datetimes of one ZoneInfo subtract and compare by wall clock.
    return moment.astimezone(UTC)


def _until(schedule: Schedule, moment: datetime) -> datetime:
    return min(_utc(moment), _utc(schedule.end or moment))


def _fixed_step(schedule: Schedule) -> timedelta | None:
    if schedule.kind != "every":
        return None
    count, unit = parse_every(schedule.expression)
    return timedelta(**{unit: count}) if unit in {"minutes", "hours"} else None


def _localise(local: datetime, zone: ZoneInfo) -> Slot:
    # fold=0 means the first of two equal wall times and, in a gap, the offset before it: the
    # instant then lies after the gap, later by the gap's length, and does not read back as asked.
    at = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return Slot(at, local, in_gap=at.astimezone(zone).replace(tzinfo=None) != local)


def _slots_on(pages: _Pages, page: int, zone: ZoneInfo) -> list[Slot]:
    return [_localise(local, zone) for local in pages.walls_on(page)]


def _slots_back(schedule: Schedule, *, floor: datetime, top: datetime) -> list[Slot]:
    """Give the last slots within [floor, top], unsorted: enough of them to hold the latest."""
    if schedule.kind in {"manual", "once"}:
        due = schedule.kind == "once" and floor <= _utc(schedule.anchor) <= top
        return [_plain_slot(_utc(schedule.anchor), schedule.zone)] if due else []
    pages = _open_pages(schedule)
    floor = max(floor, top - HORIZON)
    if top < floor:
        return []
    first = pages.number_of(_local_date(floor, schedule.zone, days=-2))
    found: list[Slot] = []
    for page in range(pages.number_of(_local_date(top, schedule.zone, days=1)), first - 1, -1):
        enough = bool(found)
        found += [s for s in _slots_on(pages, page, schedule.zone) if floor <= s.at <= top]
        if enough:  # one page further than found: a gap may have shifted its slots past these
            break
    return found


def _walk_forward(schedule: Schedule, after: datetime) -> Iterator[Slot]:
    """Give slots in the order of their instants, from two days before `after` at the latest."""
    pages = _open_pages(schedule)
    first = pages.number_of(_local_date(after, schedule.zone, days=-2))
    last = pages.number_of(_local_date(after + HORIZON, schedule.zone))
    held: list[Slot] = []
    for page in range(first, last + 1):
        opened = _slots_on(pages, page, schedule.zone)
        # Held for one page, because a gap may shift a slot past the first ones of the next page.
        turn = max((slot.at for slot in held), default=None)
        merged = _collapse(held + opened)
        held = [slot for slot in merged if turn is None or slot.at > turn]
        yield from merged[: len(merged) - len(held)]
    yield from held


def _collapse(slots: Iterable[Slot]) -> list[Slot]:
    # Of two at one instant, keep the one whose wall time exists.
    by_instant = {slot.at: slot for slot in sorted(slots, key=lambda s: (s.at, not s.in_gap))}
    return list(by_instant.values())


def _slots_after(schedule: Schedule, *, after: datetime) -> Iterator[Slot]:
    """Give the slots strictly after, earliest first, up to the schedule's end or the horizon."""
    anchor = _utc(schedule.anchor)
    source: Iterable[Slot]
    if schedule.kind == "manual":
        return
    if schedule.kind == "once":
        source = [_plain_slot(anchor, schedule.zone)]
    elif step := _fixed_step(schedule):
        first = max(0, (after - anchor) // step + 1)
        source = (_plain_slot(anchor + k * step, schedule.zone) for k in count_up(first))
    else:
        source = _walk_forward(schedule, max(after, anchor))
    for slot in source:
        if schedule.end is not None and slot.at > _utc(schedule.end):
            return
        if slot.at > after and slot.at >= anchor:
            yield slot


def _plain_slot(at: datetime, zone: ZoneInfo) -> Slot:
    return Slot(at, at.astimezone(zone).replace(tzinfo=None), in_gap=False)


def _local_date(moment: datetime, zone: ZoneInfo, *, days: int = 0) -> date:
    return moment.astimezone(zone).date() + timedelta(days=days)
