"""What a form's field holds, in words short enough for a line."""

from collections.abc import Iterable
from datetime import date, datetime, time
from typing import Any

from django import forms
from django.db.models import Model
from django.utils.formats import date_format, time_format
from django.utils.translation import gettext as _

from .numbers import format_number
from .times import exact_time

LONGEST = 60


def value_in_words(field: Any, value: Any) -> str | None:
    """The value of a form's field, initial or cleaned, as staff read it.

    "" where it is empty; None where it is longer than a line has room for.
    """
    if isinstance(field, forms.BooleanField):
        return _("yes") if value else _("no")
    if value in (None, "", [], ()):
        return ""
    if isinstance(field, forms.ModelChoiceField):
        words = ", ".join(_names(field, value))
    elif isinstance(field, forms.ChoiceField):
        words = ", ".join(_labels(field, value))
    else:
        words = _in_words(value)
    return words if len(words) <= LONGEST and "\n" not in words else None


def _in_words(value: Any) -> str:
    match value:
        case datetime():
            return exact_time(value)
        case date():
            return date_format(value, "j M Y")
        case time():
            return time_format(value, "H:i")
        case int() | float():
            return format_number(int(value) if value == int(value) else value)
    return str(value)


def _names(field: Any, value: Any) -> Iterable[str]:
    """Of objects, or of their keys."""
    chosen = [value] if isinstance(value, Model | int | str) else list(value)
    keys = [one.pk if isinstance(one, Model) else one for one in chosen]
    return [str(found) for found in field.queryset.filter(pk__in=keys)]


def _labels(field: Any, value: Any) -> Iterable[str]:
    labels = {str(key): str(label) for key, label in field.choices}
    chosen = value if isinstance(value, list | tuple) else [value]
    return [labels.get(str(one), str(one)) for one in chosen]
