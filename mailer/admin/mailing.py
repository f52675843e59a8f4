"""Mailings: what goes to whom, and when."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from admin_ext.components.badges import badge
from admin_ext.components.change_list import CarefulListMixin
from admin_ext.components.history import Happening, HistoryMixin
from admin_ext.components.links import admin_link, name_column
from admin_ext.components.list_actions import confirmed_action
from admin_ext.components.object_actions import ObjectActionsMixin
from admin_ext.components.outcome import ActionDone
from admin_ext.components.pick_filter import PickFilter, PickFilterMixin
from admin_ext.components.plain_form import ShortSelectsMixin
from admin_ext.components.times import time_tag
from mailer.exceptions import MailerError
from mailer.models import Mailing, MailingRelay, Relay, Run
from mailer.services.scheduling import apply_schedule, remove_wake_up, schedule_of
from mailer.states import RunState

from . import mailing_actions as do
from . import run_list_actions as several
from . import single_mailing
from .deletion import GuardedDeletionMixin
from .mailing_form import MailingForm
from .mailing_history import TOLD, tell_schedule
from .outlook import OutlookMixin, audience_in_words, outlook
from .permissions import may_see_runs
from .schedule_words import in_words, next_sends
from .timeline import happenings_of_mailing

RUNS_SHOWN = 10


class _FurtherRelays(forms.BaseInlineFormSet[MailingRelay, Mailing, Any]):
    def clean(self) -> None:
        super().clean()
        main = getattr(self.instance, "relay_id", None)
        for form in self.forms:
            relay = form.cleaned_data.get("relay") if hasattr(form, "cleaned_data") else None
            if relay is not None and relay.pk == main and not form.cleaned_data.get("DELETE"):
                form.add_error(
                    "relay", _("“%(relay)s” is the main relay already.") % {"relay": relay}
                )


class FurtherRelayInline(ShortSelectsMixin, admin.TabularInline[MailingRelay, Mailing]):
    """Relays beside the main one, by share or for when that is paused."""

    model = MailingRelay
    formset = _FurtherRelays
    autocomplete_fields = ("relay",)
    extra = 0
    verbose_name_plural = gettext_lazy("further relays")


@admin.register(Mailing)
class MailingAdmin(
    ObjectActionsMixin,
    OutlookMixin,
    HistoryMixin,
    ShortSelectsMixin,
    PickFilterMixin,
    GuardedDeletionMixin,
    CarefulListMixin,
    admin.ModelAdmin[Mailing],
):
    list_display = ("name", "goes_to", "schedule", "next_send", "is_on", "last_run")
    list_filter = ("enabled", ("lists", PickFilter), ("message", PickFilter))
    ordering = ("name",)
    search_fields = ("name",)
    when_empty = gettext_lazy(
        "No mailing yet. A mailing says what goes to whom, and when: it takes a message, a"
        " list and a relay."
    )
    form = MailingForm
    autocomplete_fields = ("message", "lists", "relay")
    readonly_fields = ("audience", "schedule", "next_sends")
    fieldsets = (
        (None, {"fields": ("name", "message", "lists", "audience", ("relay", "relay_share"))}),
        (
            gettext_lazy("Schedule"),
            {
                "fields": (
                    "enabled", "schedule_kind", ("every_count", "every_unit"), "weekdays",
                    "weeks_interval", "month_day", "month_interval", "crontab",
                    ("start_date", "start_time"), "schedule_zone", ("end_date", "end_time"),
                    "next_sends",
                )
            },
        ),
        (gettext_lazy("Beside other mail"), {"fields": ("urgent", "weight")}),
        (
            gettext_lazy("If something comes in between"),
            {
                "fields": (
                    "missed", "late_minutes", "overlap", "expires_after_hours", "breaker_percent",
                    "breaker_after",
                )
            },
        ),
    )  # fmt: skip
    when_deleted = gettext_lazy("Nothing was sent by it yet. Its message and lists stay.")
    inlines = (FurtherRelayInline,)
    actions = ("send_selected",)
    object_actions = (do.SEND_NOW, do.SWITCH_ON, do.SWITCH_OFF, do.COPY)
    refusals = (MailerError,)
    history_values = TOLD
    change_form_template = "admin/mailer/mailing/change_form.html"

    class Media:
        css = {"all": ("mailer/pages.css",)}
        js = ("mailer/schedule.js", "mailer/outlook.js")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Mailing]:
        # By slot, not by id: PostgreSQL would walk all runs back from the newest, and a mailing's
        # last one may lie behind hundreds of thousands of single messages.
        newest = Run.objects.filter(mailing=OuterRef("pk")).order_by("-slot")
        columns = {"run_pk": "pk", "run_state": "state"}
        found: QuerySet[Mailing] = super().get_queryset(request).prefetch_related("lists")
        return found.annotate(
            **{name: Subquery(newest.values(field)[:1]) for name, field in columns.items()}
        )

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        relays = list(Relay.objects.values_list("pk", flat=True)[:2])
        only = {"relay": relays[0]} if len(relays) == 1 else {}
        return {**only, **super().get_changeform_initial_data(request)}

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is not None and obj.is_single:
            kwargs["form"] = single_mailing.SingleMailingForm
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.may_schedule = request.user.has_perm(do.START)
        return form

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        own = single_mailing.READ_ONLY if obj is not None and obj.is_single else ()
        return (*super().get_readonly_fields(request, obj), *own)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None and obj.is_single:
            return single_mailing.FIELDSETS
        name, when, *policies = super().get_fieldsets(request, obj)
        if obj is not None and not self.has_change_permission(request, obj):
            fields = ("name", "message", "lists", "audience", ("through", "relay_share"))
            name = (name[0], {"fields": fields})
            return [name, (when[0], {"fields": ("enabled", "schedule", "next_sends")}), *policies]
        return [name, when, *policies]

    def construct_change_message(self, request: HttpRequest, form: Any, *args: Any) -> Any:
        parts = super().construct_change_message(request, form, *args)
        return tell_schedule(parts, form) if isinstance(form, MailingForm) else parts

    def happenings(
        self, request: HttpRequest, obj: Any, *, before: datetime | None
    ) -> Iterable[Happening]:
        return happenings_of_mailing(obj, request, before=before) if may_see_runs(request) else []

    def why_not_delete(self, obj: Any) -> str:
        if not obj.runs.exists():
            return ""
        return _(
            "“%(mailing)s” has been sent; its runs say to whom, so it is kept. Switch its schedule"
            " off instead."
        ) % {"mailing": obj}

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if form.schedule_changed:
            apply_schedule(form.instance, now=timezone.now())
        if form.asked_in_vain:
            words = _("The schedule is off: what is sent only by “Send now” has none to switch on.")
            self.message_user(request, words, messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        pk = obj.pk
        super().delete_model(request, obj)
        remove_wake_up(pk)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        obj = kwargs.get("obj")
        if obj:
            runs = list(obj.runs.select_related("started_by").order_by("-id")[: RUNS_SHOWN + 1])
            context["runs"] = runs[:RUNS_SHOWN]
            if len(runs) > RUNS_SHOWN:
                query = urlencode({"mailing__id__exact": obj.pk, "kind": "all"})
                context["more_runs"] = f"{reverse('admin:mailer_run_changelist')}?{query}"
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=gettext_lazy("to"))
    def audience(self, mailing: Mailing) -> SafeString:
        lists = list(mailing.lists.values_list("pk", flat=True)) if mailing.pk else []
        return outlook("audience", mailing, audience_in_words(lists))

    through = name_column("relay", gettext_lazy("relay"))

    @admin.display(description=gettext_lazy("to"))
    def goes_to(self, mailing: Mailing) -> str:
        names = [str(one) for one in mailing.lists.all()]
        return ", ".join(names[:3]) + (" …" if len(names) > 3 else "") or "—"

    @admin.display(description=gettext_lazy("schedule in words"))
    def schedule(self, mailing: Mailing) -> str:
        return in_words(mailing) if mailing.pk else "—"

    @admin.display(description=gettext_lazy("next sends"))
    def next_sends(self, mailing: Mailing) -> SafeString | str:
        return outlook("sends", mailing, next_sends(mailing))

    @admin.display(description=gettext_lazy("next send"), ordering="next_due_at")
    def next_send(self, mailing: Mailing) -> SafeString:
        zone = schedule_of(mailing).zone
        return time_tag(mailing.next_due_at, now=timezone.now(), zone=zone)

    @admin.display(description=gettext_lazy("schedule"), ordering="enabled")
    def is_on(self, mailing: Mailing) -> SafeString | str:
        if mailing.is_single:
            return "—"
        if not mailing.enabled:
            return badge("disabled", _("Off"))
        if mailing.next_due_at is None:
            return badge("finished", _("Over"))
        return badge("enabled", _("On"))

    @admin.display(description=gettext_lazy("last run"))
    def last_run(self, mailing: Any) -> SafeString | str:
        if mailing.run_pk is None:
            return "—"
        return admin_link("mailer.run", mailing.run_pk, badge(RunState(mailing.run_state)))

    @confirmed_action(
        description=gettext_lazy("Send now"),
        permission=do.START,
        question=do.what_send_selected_does,
        button=several.button(
            lambda n: ngettext("Send %(n)s mailing now", "Send %(n)s mailings now", n)
        ),
    )
    def send_selected(
        self, request: HttpRequest, mailings: QuerySet[Mailing], moment: datetime
    ) -> ActionDone:
        return do.send_selected(request, mailings, moment)
