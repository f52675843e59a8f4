"""A mailing's schedule as its page tells it: in words, and its next sends."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.dateformat import format as format_date
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from admin_ext.components.times import relative_time
from mailer.models import Mailing
from mailer.services.expressions import ScheduleError
from mailer.services.schedule_words import describe_schedule
from mailer.services.scheduling import schedule_of
from mailer.services.slots import Schedule, Slot, next_slots

SHOWN = 10


def in_words(mailing: Mailing) -> str:
    """ "every Monday at 09:00, Asia/Taipei", or what is wrong with it."""
    if mailing.is_single:
        return _("Sent by the site itself")
    try:
        return describe_schedule(schedule_of(mailing))
    except ScheduleError as error:
        return str(error)


def next_sends(mailing: Mailing) -> SafeString | str:
    """The next ten sends, in the schedule's zone and in the reader's where they differ."""
    return sends_of(schedule_of(mailing), enabled=mailing.enabled)


def sends_of(schedule: Schedule, *, enabled: bool) -> SafeString | str:
    """The same of a schedule that need not be saved; what it means in words stands on top."""
    now = timezone.now()
    try:
        slots = next_slots(schedule, now=now, count=SHOWN)
    except ScheduleError:
        return "—"
    if not slots:
        return _("None: it is not sent by schedule (any more).")
    rows = format_html_join(
        "",
        '<li><time datetime="{}">{}</time> <span class="quiet">{}</span></li>',
        ((slot.at.isoformat(), *_tell(slot, schedule.zone)) for slot in slots),
    )
    first = relative_time(slots[0].at, now=now, zone=schedule.zone)
    note = (
        _("The first one: %(when)s.") % {"when": first}
        if enabled
        else _("The schedule is off: none of these is sent.")
    )
    return format_html(
        '<p class="sends-lead">{}. {}</p><ol class="sends">{}</ol>',
        capfirst(describe_schedule(schedule)),
        note,
        rows,
    )


def moment_in_words(at: datetime, zone: ZoneInfo) -> str:
    """ "Mon 23 Nov 2026, 09:00 CST (01:00 UTC)": in the schedule's zone, and in the reader's."""
    local, here = at.astimezone(zone), timezone.localtime(at)
    words = format_date(local, "D j M Y, H:i T")
    if same_clock(local, here):
        return words
    return (
        f"{words} ({format_date(here, 'H:i T' if here.date() == local.date() else 'j M, H:i T')})"
    )


def same_clock(one: datetime, other: datetime) -> bool:
    return one.utcoffset() == other.utcoffset()


def _tell(slot: Slot, zone: ZoneInfo) -> tuple[str, str]:
    local, here = slot.at.astimezone(zone), timezone.localtime(slot.at)
    notes = [] if same_clock(local, here) else [format_date(here, "D j M, H:i T")]
    if slot.in_gap:
        gap = _("%(time)s does not exist on that day (the clocks go forward)")
        notes.append(gap % {"time": f"{slot.local:%H:%M}"})
    return format_date(local, "D j M Y, H:i T"), " · ".join(notes)
