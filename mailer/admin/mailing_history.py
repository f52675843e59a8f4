"""What a mailing's history says of a change: fields with their values, the schedule in words."""

from typing import Any

from mailer.services.expressions import ScheduleError
from mailer.services.schedule_words import describe_schedule
from mailer.services.slots import Schedule

from .schedule_fields import KINDS_OF

#: Of the form's fields, those whose values are told; of the schedule's, what they mean together.
TOLD = (
    "name", "message", "lists", "relay", "relay_share", "urgent", "weight", "enabled", "missed",
    "late_minutes", "overlap", "expires_after_hours", "breaker_percent", "breaker_after",
)  # fmt: skip
_SCHEDULE = {"schedule_kind", *KINDS_OF}


def tell_schedule(parts: list[dict[str, Any]], form: Any) -> list[dict[str, Any]]:
    """One "Schedule from … to …" instead of the names of its dozen fields."""
    if not parts or "values" not in parts[0].get("changed", {}):
        return parts
    changed = parts[0]["changed"]
    rows = zip(form.changed_data, changed["fields"], changed["values"], strict=True)
    kept = [(label, values) for name, label, values in rows if name not in _SCHEDULE]
    if len(kept) < len(form.changed_data):
        after = _in_words(form.schedule or form.before)
        kept.append(("Schedule", (_in_words(form.before), after)))
    changed["fields"] = [label for label, _values in kept]
    changed["values"] = [values for _label, values in kept]
    return parts


def _in_words(schedule: Schedule) -> str:
    try:
        return describe_schedule(schedule)
    except ScheduleError as error:
        return str(error)
