"""What staff do with a mailing beside writing it: send it, switch its schedule, copy it."""

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from admin_ext.components.history import WHO, note_change
from admin_ext.components.links import admin_url
from admin_ext.components.numbers import format_number
from admin_ext.components.object_actions import ObjectAction
from admin_ext.components.outcome import ActionDone
from admin_ext.components.times import format_span, relative_time
from mailer.exceptions import MailerError
from mailer.models import Mailing, Run
from mailer.services.audience import count_audience
from mailer.services.copying import copy_mailing
from mailer.services.estimating import estimate_mailing
from mailer.services.left_out import left_out_in_words
from mailer.services.planning import start_now
from mailer.services.scheduling import schedule_of, switch_schedule
from mailer.tasks import ring_after_commit

from .placeholder_words import lacking_in_words
from .schedule_fields import check_schedule
from .schedule_words import in_words

START = "mailer.start_mailing"


def what_send_now_does(mailing: Mailing) -> str:
    """How many people it goes to, who is left out or lacks what it says, and its last run."""
    if mailing.is_single:
        return _("“%(mailing)s” goes to nobody now: the site itself sends it.") % {
            "mailing": mailing
        }
    audience = count_audience(mailing)
    lines = [
        ngettext(
            "“%(mailing)s” goes to %(n)s person now.",
            "“%(mailing)s” goes to %(n)s people now.",
            audience.recipients,
        )
        % {"mailing": mailing, "n": format_number(audience.recipients)}
    ]
    if audience.left_out:
        lines.append(_("Left out: %(who)s.") % {"who": left_out_in_words(audience.left_out)})
    lines += lacking_in_words(mailing)
    if words := duration_in_words(mailing, recipients=audience.recipients):
        lines.append(words)
    if last := mailing.runs.order_by("-id").first():
        lines.append(
            _("Its last run, %(run)s, was %(when)s: %(state)s.")
            % {
                "run": last.pk,
                "when": relative_time(last.created_at, now=timezone.now()),
                "state": last.get_state_display().lower(),
            }
        )
    return "\n".join(lines)


def duration_in_words(mailing: Mailing, *, recipients: int) -> str:
    """How long it takes under the limits that are in its way; "" where none is."""
    span = estimate_mailing(mailing, recipients=recipients, now=timezone.now())
    if not span:
        return ""
    words = _("That takes about %(span)s, as its relay and the limits for providers allow.")
    return words % {"span": format_span(span)}


def send_now(request: HttpRequest, mailing: Mailing, moment: datetime) -> ActionDone:
    with transaction.atomic():
        run = _start(request, mailing, moment)
        ring_after_commit()
    words = _("“%(mailing)s” is being sent: this is its run %(run)s.")
    return ActionDone(
        words % {"mailing": mailing, "run": run.pk}, url=admin_url("mailer.run", run.pk)
    )


def what_send_selected_does(mailings: QuerySet[Mailing], count: int) -> str:
    return "\n\n".join(what_send_now_does(mailing) for mailing in mailings.order_by("name"))


def send_selected(
    request: HttpRequest, mailings: QuerySet[Mailing], moment: datetime
) -> ActionDone:
    """Each by itself: one that cannot be sent keeps none of the others back."""
    started, refused = 0, []
    for mailing in mailings.order_by("name"):
        try:
            with transaction.atomic():
                _start(request, mailing, moment)
                ring_after_commit()
            started += 1
        except MailerError as refusal:
            refused.append(str(refusal))
    words = ngettext("%(n)s run was started.", "%(n)s runs were started.", started)
    return ActionDone(
        " ".join([words % {"n": format_number(started)}, *refused]),
        url=reverse("admin:mailer_run_changelist") if started else "",
        level=messages.WARNING if refused else messages.SUCCESS,
    )


def _start(request: HttpRequest, mailing: Mailing, moment: datetime) -> Run:
    by: Any = request.user
    return start_now(mailing, moment=moment, trigger=Run.Trigger.STAFF, by=by, now=timezone.now())


def switch_on(request: HttpRequest, mailing: Mailing, moment: datetime) -> str:
    check_schedule(schedule_of(mailing), now=timezone.now())
    return _switch(request, mailing, to=True, words=_("The schedule of “%(mailing)s” is on."))


def switch_off(request: HttpRequest, mailing: Mailing, moment: datetime) -> str:
    words = _("The schedule of “%(mailing)s” is off. Runs under way go on.")
    return _switch(request, mailing, to=False, words=words)


@transaction.atomic
def _switch(request: HttpRequest, mailing: Mailing, *, to: bool, words: str) -> str:
    switch_schedule(mailing, on=to, now=timezone.now())
    did = _("%(who)s switched its schedule on.") if to else _("%(who)s switched its schedule off.")
    note_change(request, mailing, did % {"who": WHO})
    return words % {"mailing": mailing}


@transaction.atomic
def copy(request: HttpRequest, mailing: Mailing, moment: datetime) -> ActionDone:
    copied = copy_mailing(mailing)
    did = _("%(who)s made it as a copy of “%(mailing)s”.") % {"who": WHO, "mailing": mailing}
    note_change(request, copied, did)
    words = _("This is “%(copy)s”. Change what is different; its schedule is off.")
    return ActionDone(words % {"copy": copied}, url=admin_url("mailer.mailing", copied.pk))


SEND_NOW = ObjectAction(
    name="send_now",
    label=gettext_lazy("Send now"),
    permission=START,
    question=what_send_now_does,
    run=send_now,
    available=lambda mailing: not mailing.is_single,
    why_not=lambda mailing: _(
        "It is sent by the site itself, to one address at a time. To see what it looks like, send a"
        " test of its message."
    ),
)
SWITCH_ON = ObjectAction(
    name="enable",
    label=gettext_lazy("Switch schedule on"),
    permission=START,
    question=lambda mailing: (
        _("It is sent %(when)s. What was due while it was off is not made up for.")
        % {"when": in_words(mailing)}
    ),
    run=switch_on,
    available=lambda mailing: not mailing.enabled and mailing.schedule_kind != Mailing.Kind.MANUAL,
    why_not=lambda mailing: (
        _("The schedule is on.") if mailing.enabled else _("It has no schedule to switch on.")
    ),
)
SWITCH_OFF = ObjectAction(
    name="disable",
    label=gettext_lazy("Switch schedule off"),
    permission=START,
    question=lambda mailing: _(
        "Nothing more is sent by schedule until it is switched on again; “Send now” still works."
    ),
    run=switch_off,
    available=lambda mailing: mailing.enabled,
    why_not=lambda mailing: _("The schedule is off."),
)
COPY = ObjectAction(
    name="copy",
    label=gettext_lazy("Copy…"),
    permission="mailer.add_mailing",
    question=lambda mailing: _(
        "A new mailing is made with the same message, lists, relays, schedule and policies. Its"
        " schedule is off: it sends nothing before you switch it on."
    ),
    button=lambda mailing: _("Copy this mailing"),
    run=copy,
    available=lambda mailing: not mailing.is_single,
    why_not=lambda mailing: _("It is sent by the site itself, and there is one for each message."),
)
