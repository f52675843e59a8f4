"""What Home tells: what is going out, what needs somebody, what is next; by permission."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from admin_ext.components.links import admin_url
from admin_ext.components.numbers import format_number
from admin_ext.components.times import relative_time
from admin_ext.models import Heartbeat
from mailer.models import Mailing, MailingList, Message, Relay, Run
from mailer.states import RUN_SENDS_AGAIN, RunState

from .pace_words import pace_in_words
from .schedule_words import moment_in_words

SHOWN = 5
#: What failed or is uncertain longer ago is no news; the list of runs has it.
NEWS = timedelta(days=14)


def describe_home(request: HttpRequest) -> dict[str, Any]:
    """The parts of Home that this person may see; as many queries however much there is."""
    user: Any = request.user
    now = timezone.now()
    return {
        "steps": list(_first_steps(user)),
        "going": list(_going(now=now)) if user.has_perm("mailer.view_run") else None,
        "needs": list(_needs(user, now=now)),
        "next": list(_next(now=now)) if user.has_perm("mailer.view_mailing") else None,
    }


def _first_steps(user: Any) -> Iterator[dict[str, str]]:
    """What an empty installation needs, one button each; nothing once there is a mailing."""
    if Mailing.objects.exists():
        return
    steps = (
        (Relay, "relay", _("Say which mail server it leaves through")),
        (MailingList, "mailinglist", _("Make a list, and put people on it")),
        (Message, "message", _("Write a message")),
        (Mailing, "mailing", _("Schedule a mailing: what goes to whom, and when")),
    )
    for model, name, words in steps:
        if user.has_perm(f"mailer.add_{name}"):
            done = model.objects.exists()
            yield {
                "words": words,
                "url": "" if done else reverse(f"admin:mailer_{name}_add"),
                "button": _("Begin"),
            }


def _going(*, now: datetime) -> Iterator[dict[str, Any]]:
    runs = Run.objects.filter(
        state__in=(RunState.PREPARING, RunState.SENDING), idempotency_key__isnull=True
    )
    for run in runs.select_related("mailing", "relay").order_by("-id")[:SHOWN]:
        yield {"run": run, "pace": pace_in_words(run, now=now)}


def _needs(user: Any, *, now: datetime) -> Iterator[dict[str, str]]:
    if user.has_perm("mailer.view_run"):
        yield from _paused_runs()
        yield from _not_arrived(now=now)
    if user.has_perm("mailer.view_relay"):
        yield from _paused_relays(now=now)
    if not Heartbeat.objects.workers().alive(now).exists():
        yield {"words": _silence(now=now), "url": "", "link": ""}


def _paused_runs() -> Iterator[dict[str, str]]:
    for run in Run.objects.filter(state=RunState.PAUSED).select_related("mailing")[:SHOWN]:
        words = _("“%(mailing)s”, run %(run)s, is paused.") % {
            "mailing": run.mailing,
            "run": run.pk,
        }
        yield {"words": f"{words} {run.reason}".strip(), "url": admin_url("mailer.run", run.pk)}


def _not_arrived(*, now: datetime) -> Iterator[dict[str, str]]:
    recent = Run.objects.filter(created_at__gte=now - NEWS, state__in=RUN_SENDS_AGAIN)
    recent = recent.exclude(trigger=Run.Trigger.SINGLE)  # thousands, and the site's own
    sums = recent.aggregate(failed=Sum("failed"), uncertain=Sum("uncertain"))
    runs = reverse("admin:mailer_run_changelist")
    if failed := sums["failed"]:
        words = ngettext(
            "%(n)s delivery of the last 14 days failed. It can be sent again from its run's page.",
            "%(n)s deliveries of the last 14 days failed. They can be sent again from their runs'"
            " pages.",
            failed,
        )
        query = urlencode({"needs": "failed"})
        yield {"words": words % {"n": format_number(failed)}, "url": f"{runs}?{query}"}
    if uncertain := sums["uncertain"]:
        words = ngettext(
            "%(n)s delivery is uncertain: the mail server may have taken it.",
            "%(n)s deliveries are uncertain: the mail server may have taken them.",
            uncertain,
        )
        query = urlencode({"needs": "uncertain"})
        yield {"words": words % {"n": format_number(uncertain)}, "url": f"{runs}?{query}"}


def _paused_relays(*, now: datetime) -> Iterator[dict[str, str]]:
    for relay in Relay.objects.filter(paused_until__gt=now)[:SHOWN]:
        words = _("The relay “%(relay)s” takes nothing; it is tried again %(when)s.")
        when = relative_time(relay.paused_until or now, now=now)
        yield {
            "words": f"{words % {'relay': relay, 'when': when}} {relay.pause_reason}".strip(),
            "url": admin_url("mailer.relay", relay.pk),
        }


def _silence(*, now: datetime) -> str:
    last = Heartbeat.objects.workers().order_by("-seen_at").first()
    if last is None:
        return _("Nothing that sends mail is running. Whoever runs this site has to start it.")
    words = _("Nothing that sends mail has been seen since %(when)s. Whoever runs this site has to"
              " look after it.")  # fmt: skip
    return words % {"when": relative_time(last.seen_at, now=now)}


def _next(*, now: datetime) -> Iterator[dict[str, Any]]:
    due = Mailing.objects.filter(enabled=True, next_due_at__isnull=False).order_by("next_due_at")
    for mailing in due[:SHOWN]:
        at = mailing.next_due_at or now
        yield {
            "mailing": mailing,
            "at": max(at, now),  # what is due is taken up in a moment
            "exact": moment_in_words(at, ZoneInfo(mailing.schedule_zone)),
        }
