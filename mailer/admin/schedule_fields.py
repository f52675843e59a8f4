"""A mailing's schedule between plain form fields and what services.slots reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from mailer.exceptions import MailerError
from mailer.services import recurrence
from mailer.services.expressions import ScheduleError, parse_every
from mailer.services.schedule_checks import explain_error, validate_schedule
from mailer.services.slots import Schedule, next_due

_RECURRING = ("every", "weekly", "monthly", "crontab")
_TIMED = ("once", *_RECURRING)
#: Which kinds of schedule a field belongs to; the other kinds ignore what it holds.
KINDS_OF: Mapping[str, tuple[str, ...]] = {
    "start_date": _TIMED,
    "start_time": _TIMED,
    "schedule_zone": _TIMED,
    "every_count": ("every",),
    "every_unit": ("every",),
    "weekdays": ("weekly",),
    "weeks_interval": ("weekly",),
    "month_day": ("monthly",),
    "month_interval": ("monthly",),
    "crontab": ("crontab",),
    "end_date": _RECURRING,
    "end_time": _RECURRING,
}
_RULE_FIELD = {
    "every": "every_count",
    "weekly": "weekdays",
    "monthly": "month_day",
    "crontab": "crontab",
}


@dataclass
class FieldError(MailerError):
    """What is wrong with a schedule, and at which field of the form."""

    field: str
    message: str

    def __str__(self) -> str:
        return self.message


def show_schedule(schedule: Schedule) -> dict[str, Any]:
    """A schedule as the form's initial values; wall times are in its own zone."""
    start = schedule.anchor.astimezone(schedule.zone)
    end = schedule.end and schedule.end.astimezone(schedule.zone)
    values: dict[str, Any] = {
        "schedule_kind": schedule.kind,
        "schedule_zone": schedule.zone.key,
        "start_date": start.date(),
        "start_time": _to_minute(start),
        "end_date": end and end.date(),
        "end_time": end and _to_minute(end),
        "every_count": 1,
        "every_unit": "days",
        "weekdays": [],
        "weeks_interval": 1,
        "month_day": "1",
        "month_interval": 1,
        "crontab": "",
    }
    try:
        values |= _show_rule(schedule)
    except ScheduleError:
        values["month_day"] = ""  # a rule that the form cannot show: kept until it is changed
    return values


def build_schedule(values: Mapping[str, Any], *, before: Schedule, changed: set[str]) -> Schedule:
    """The schedule that the form's values mean. Raises FieldError.

    What was not changed is taken from the schedule before, to the second.
    """
    kind, zone = values["schedule_kind"], ZoneInfo(values.get("schedule_zone") or "UTC")
    if kind == "manual":
        return Schedule(kind, "", before.anchor, before.zone)
    anchor, end = before.anchor, before.end
    if changed & {"start_date", "start_time", "schedule_zone"}:
        anchor = _read_start(values, zone)
    if kind != "once" and changed & {"end_date", "end_time", "schedule_zone"}:
        end = _read_end(values, zone)
    try:
        expression = _read_rule(kind, values)
    except ScheduleError as error:
        raise FieldError(_RULE_FIELD[kind], explain_error(error)) from None
    return Schedule(kind, expression, anchor, zone, end=None if kind == "once" else end)


def check_schedule(schedule: Schedule, *, now: datetime | None) -> None:
    """Raise FieldError, at its field, for a schedule that cannot be followed.

    With `now`, something has to be due after it, too.
    """
    try:
        validate_schedule(schedule)
    except ScheduleError as error:
        raise FieldError(_blame(schedule), str(error)) from None
    if now is None or schedule.kind == "manual" or next_due(schedule, now=now) is not None:
        return
    if schedule.kind == "once":
        raise FieldError("start_date", _("This moment is over. Choose a later one."))
    raise FieldError("end_date", _("The schedule has ended. Choose a later end, or none."))


def _show_rule(schedule: Schedule) -> dict[str, Any]:
    match schedule.kind:
        case "every":
            count, unit = parse_every(schedule.expression)
            return {"every_count": count, "every_unit": unit}
        case "weekly":
            weekly = recurrence.parse_weekly(schedule.expression)
            return {"weekdays": list(weekly.weekdays), "weeks_interval": weekly.interval}
        case "monthly":
            monthly = recurrence.parse_monthly(schedule.expression)
            return {"month_day": str(monthly.day), "month_interval": monthly.interval}
        case "crontab":
            return {"crontab": schedule.expression}
    return {}


def _read_rule(kind: str, values: Mapping[str, Any]) -> str:
    match kind:
        case "every":
            expression = f"{_needed(values, 'every_count')} {_needed(values, 'every_unit')}"
            parse_every(expression)
            return expression
        case "weekly":
            if not values.get("weekdays"):
                raise FieldError("weekdays", _("Tick at least one weekday."))
            interval = _needed(values, "weeks_interval")
            return recurrence.weekly_expression(values["weekdays"], interval=interval)
        case "monthly":
            day, interval = _needed(values, "month_day"), _needed(values, "month_interval")
            return recurrence.monthly_expression(day, interval=interval)
        case "crontab":
            return " ".join(str(_needed(values, "crontab")).split())
    return ""


def _needed(values: Mapping[str, Any], name: str) -> Any:
    if values.get(name) in (None, ""):
        raise FieldError(name, _("This is needed for such a schedule."))
    return values[name]


def _read_start(values: Mapping[str, Any], zone: ZoneInfo) -> datetime:
    day, at = _needed(values, "start_date"), _needed(values, "start_time")
    return _read_wall(day, at, zone, field="start_time")


def _read_end(values: Mapping[str, Any], zone: ZoneInfo) -> datetime | None:
    day = values.get("end_date")
    if not day:
        if values.get("end_time"):
            raise FieldError("end_time", _("Give the day, too, or leave the time empty."))
        return None
    return _read_wall(day, values.get("end_time") or time(23, 59), zone, field="end_time")


def _read_wall(day: date, at: time, zone: ZoneInfo, *, field: str) -> datetime:
    local = datetime.combine(day, at)
    try:
        moment = local.replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        raise FieldError(field.replace("time", "date"), _("Choose another year.")) from None
    if moment.astimezone(zone).replace(tzinfo=None) != local:
        raise FieldError(
            field,
            _("%(time)s does not exist on that day: the clocks go forward. Choose another time.")
            % {"time": f"{at:%H:%M}"},
        )
    return moment


def _blame(schedule: Schedule) -> str:
    """The field of the form that keeps a schedule from being valid."""
    if not 2000 <= schedule.anchor.year <= 2200:
        return "start_date"
    rule = _RULE_FIELD.get(schedule.kind, "schedule_kind")
    if schedule.end is None:
        return rule
    before = schedule.anchor - timedelta(microseconds=1)
    try:
        endless = Schedule(schedule.kind, schedule.expression, schedule.anchor, schedule.zone)
        return "end_date" if next_due(endless, now=before) else rule
    except ScheduleError:
        return rule


def _to_minute(moment: datetime) -> time:
    return moment.time().replace(second=0, microsecond=0)
