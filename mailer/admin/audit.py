"""The audit: who did what to which run."""

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from admin_ext.components.links import link_to
from admin_ext.components.numbers import format_number
from admin_ext.components.paginator import BigTableMixin
from admin_ext.components.pick_filter import PickFilter, PickFilterMixin
from admin_ext.components.times import time_column
from mailer.models import Audit

from .read_only import ReadOnlyMixin


@admin.register(Audit)
class AuditAdmin(PickFilterMixin, ReadOnlyMixin, BigTableMixin, admin.ModelAdmin[Audit]):
    list_display = ("when", "who", "action", "run_link", "deliveries", "detail")
    list_filter = ("action", ("run", PickFilter), ("actor", PickFilter))
    list_select_related = ("run__mailing", "actor")
    ordering = ("-id",)
    search_fields = ("run__mailing__name", "actor__username")
    when_empty = gettext_lazy(
        "Nothing yet. Whoever starts, pauses, cancels, retries or downloads a run is written"
        " down here."
    )
    fields = ("when", "who", "action", "run_link", "deliveries", "sent", "detail")
    readonly_fields = ("when", "who", "run_link", "deliveries")

    when = time_column("at", gettext_lazy("when"), ordering="id")

    @admin.display(description=gettext_lazy("who"))
    def who(self, entry: Audit) -> str:
        return str(entry.actor or _("the system"))

    @admin.display(description=gettext_lazy("run"))
    def run_link(self, entry: Audit) -> SafeString | str:
        return link_to(entry.run) if entry.run else _("all runs")

    @admin.display(description=gettext_lazy("deliveries"))
    def deliveries(self, entry: Audit) -> str:
        return format_number(entry.count) if entry.count else "—"
