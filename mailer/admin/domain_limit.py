"""Limits for providers: so many messages a minute to one of them, whatever relay they come from."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from admin_ext.components.badges import badge
from admin_ext.components.change_list import CarefulListMixin
from admin_ext.components.history import HistoryMixin
from mailer.models import DomainLimit
from mailer.tasks import ring_after_commit

from .deletion import GuardedDeletionMixin
from .editable import editable_fields
from .limit_words import clock_time


@admin.register(DomainLimit)
class DomainLimitAdmin(
    HistoryMixin, GuardedDeletionMixin, CarefulListMixin, admin.ModelAdmin[DomainLimit]
):
    """What is saved here holds for the runs and retries that begin afterwards."""

    list_display = ("name", "some_domains", "per_minute", "state")
    ordering = ("name",)
    search_fields = ("name", "domains")
    when_empty = gettext_lazy(
        "No provider has a limit. Add one where a run's replies say that too much was sent"
        " too fast."
    )
    fields = ("name", "domains", "per_minute", "state")
    when_deleted = gettext_lazy(
        "Mail to this provider is then sent as fast as to anybody else, by runs that begin"
        " afterwards."
    )
    readonly_fields = ("state",)
    history_values = ("name", "domains", "per_minute")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        with transaction.atomic():
            # Of a row that workers write to at the same time, only what the form is about.
            obj.save(update_fields=editable_fields(DomainLimit) if change else None)
            # For a number that may be another now.
            DomainLimit.objects.filter(pk=obj.pk).update(waits_until=None)
            ring_after_commit()

    @admin.display(description=gettext_lazy("domains"))
    def some_domains(self, limit: DomainLimit) -> str:
        domains = limit.domain_list
        return ", ".join(domains[:3]) + (" …" if len(domains) > 3 else "")

    @admin.display(description=gettext_lazy("state"))
    def state(self, limit: DomainLimit) -> SafeString | str:
        now = timezone.now()
        if limit.waits_until is None or limit.waits_until <= now:
            return badge("good", _("In use")) if limit.pk else "—"
        words = _("Waiting until %(time)s") % {"time": clock_time(limit.waits_until, now=now)}
        return badge("deferred", words)
