"""Times as people say them, with the exact one for whoever hovers or listens."""

from datetime import datetime, timedelta, tzinfo
from math import ceil
from typing import Any

from django.contrib import admin
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django_stubs_ext import StrOrPromise


def relative_time(when: datetime, *, now: datetime, zone: tzinfo | None = None) -> str:
    """Say "in 3 h", "2 min ago", "just now", "in a moment"; beyond 30 days the date itself (in the
    viewer's zone, or in the one given)."""
    seconds = (when - now).total_seconds()
    if abs(seconds) < 5:
        return _("in a moment") if seconds > 0 else _("just now")
    if abs(seconds) > 30 * 86_400:
        return date_format(timezone.localtime(when, zone), "j M Y")
    whole = int(abs(seconds))
    span = _("%(n)s s") % {"n": whole} if whole < 10 else format_duration(timedelta(seconds=whole))
    return (_("in %(span)s") if seconds > 0 else _("%(span)s ago")) % {"span": span}


def format_duration(span: timedelta) -> str:
    """To the nearest unit: "0.4 s", "12 s", "3 min", "3 h", "2 days"."""
    seconds = span.total_seconds()
    if seconds < 10:
        return _("%(n)s s") % {"n": f"{seconds:.1f}"}
    if seconds < 60:
        return _("%(n)s s") % {"n": int(seconds)}
    minutes, hours, days = (round(seconds / unit) for unit in (60, 3600, 86_400))
    if minutes < 60:
        return _("%(n)s min") % {"n": minutes}
    if hours < 48:
        return _("%(n)s h") % {"n": hours}
    return ngettext("%(n)s day", "%(n)s days", days) % {"n": days}


def format_span(span: timedelta) -> str:
    """A longer time in two units, rounded up: "12 s", "3 min", "3 h 20 min", "2 days 4 h"."""
    seconds = ceil(span.total_seconds())
    if seconds < 60:
        return _("%(n)s s") % {"n": seconds}
    minutes = ceil(seconds / 60)
    if minutes < 60:
        return _("%(n)s min") % {"n": minutes}
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        whole, rest = _("%(n)s h") % {"n": hours}, _("%(n)s min") % {"n": minutes}
        return f"{whole} {rest}" if minutes else whole
    days, hours = divmod(hours + bool(minutes), 24)
    whole, rest = ngettext("%(n)s day", "%(n)s days", days), _("%(n)s h") % {"n": hours}
    return (f"{whole} {rest}" if hours else whole) % {"n": days}


def exact_time(when: datetime, *, zone: tzinfo | None = None) -> str:
    """In the viewer's zone, or the one given, with its name: "23 Nov 2026, 09:00:02 CET"."""
    return date_format(timezone.localtime(when, zone), "j M Y, H:i:s T")


def time_tag(when: datetime | None, *, now: datetime, zone: tzinfo | None = None) -> SafeString:
    """A <time> element that shows the relative time and carries the exact one."""
    if when is None:
        return format_html('<span class="quiet">{}</span>', "—")
    exact = exact_time(when, zone=zone)
    return format_html(
        '<time datetime="{}" title="{}">{}<span class="visually-hidden"> ({})</span></time>',
        when.isoformat(timespec="seconds"),
        exact,
        relative_time(when, now=now, zone=zone),
        exact,
    )


def time_column(field: str, description: StrOrPromise, *, ordering: str | None = None) -> Any:
    """A ModelAdmin's method that shows a time of its object as every page does."""

    @admin.display(description=description, ordering=ordering)
    def column(model_admin: Any, obj: Any) -> SafeString:
        return time_tag(getattr(obj, field), now=timezone.now())

    return column
