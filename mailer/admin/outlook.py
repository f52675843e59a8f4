"""What a mailing's form would mean, while it is being filled in: how many people, and when."""

from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from admin_ext.components.numbers import format_number
from mailer.models import Mailing
from mailer.services.audience import count_people
from mailer.services.left_out import left_out_in_words
from mailer.services.schedule_words import describe_schedule
from mailer.services.slots import Schedule

from .mailing_form import MailingForm
from .schedule_fields import KINDS_OF
from .schedule_words import sends_of

#: What each part is about: the names of the form's fields.
PARTS = {
    "audience": ("lists",),
    "sends": ("enabled", "schedule_kind", *KINDS_OF),
}


class OutlookMixin(ModelAdmin[Any]):
    """Adds outlook/PART/ to mailings, asked by static/mailer/outlook.js as fields change."""

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "outlook/<slug:part>/",
            self.admin_site.admin_view(self.outlook_view),
            name="mailer_mailing_outlook",
        )
        return [own, *super().get_urls()]

    def outlook_view(self, request: HttpRequest, part: str) -> HttpResponse:
        """A part of the page for the values in the address, nothing of which is saved."""
        if part not in PARTS:
            raise Http404
        key = request.GET.get("mailing", "")
        mailing = self.get_object(request, key) if key else None
        if key and mailing is None:
            raise Http404(_("This mailing does not exist."))
        may = (
            self.has_view_permission(request, mailing) if key else self.has_add_permission(request)
        )
        if not may:
            raise PermissionDenied
        words = _audience(request) if part == "audience" else _sends(request, mailing)
        return render(request, "admin/mailer/mailing/outlook.html", {"words": words})


def outlook(part: str, mailing: Mailing, words: SafeString | str) -> SafeString:
    """A part as the saved mailing has it, which the script keeps up with the form."""
    return format_html(
        '<div data-outlook="{}" data-outlook-fields="{}" data-mailing="{}" aria-live="polite">'
        "{}</div>",
        reverse("admin:mailer_mailing_outlook", args=[part]),
        " ".join(PARTS[part]),
        mailing.pk or "",
        words,
    )


def audience_in_words(lists: list[int]) -> str:
    """ "48,210 people. Left out: 290 unsubscribed, 21 suppressed." """
    if not lists:
        return _("Choose at least one list.")
    audience = count_people(lists)
    words = ngettext("%(n)s person.", "%(n)s people.", audience.recipients)
    words %= {"n": format_number(audience.recipients)}
    if audience.left_out:
        left_out = _("Left out: %(who)s.") % {"who": left_out_in_words(audience.left_out)}
        words = f"{words} {left_out}"
    return words


def _audience(request: HttpRequest) -> str:
    return audience_in_words([int(key) for key in request.GET.getlist("lists") if _is_key(key)])


def _is_key(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _sends(request: HttpRequest, mailing: Mailing | None) -> SafeString | str:
    form = MailingForm(request.GET, instance=mailing)
    form.full_clean()
    for name in ("schedule_kind", *KINDS_OF):
        if name in form.errors:
            return " ".join(str(error) for error in form.errors[name])
    schedule: Schedule = form.schedule or form.before
    if schedule.kind == Mailing.Kind.MANUAL:
        return describe_schedule(schedule)
    return sends_of(schedule, enabled=bool(form.cleaned_data.get("enabled")))
