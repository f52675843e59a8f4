"""The audit: who did what to which run."""

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from admin_ext.components.links import link_to
from admin_ext.components.numbers import format_number
from admin_ext.components.paginator import BigTableMixin
from admin_ext.components.pick_filter import PickFilter, PickFilterMixin
from admin_ext.components.times import time_column
from mailer.models import Audit, Mailing

from .read_only import ReadOnlyMixin


@admin.register(Audit)
class AuditAdmin(PickFilterMixin, ReadOnlyMixin, BigTableMixin, admin.ModelAdmin[Audit]):
    list_display = ("when", "who", "action", "run_link", "deliveries", "detail")
    list_filter = ("action", ("run", PickFilter), ("actor", PickFilter))
    list_select_related = ("run__mailing", "actor")
    ordering = ("-id",)
    sortable_by = ("when",)
    search_fields = ("run__mailing__name", "actor__username")  # get_search_results says how
    when_empty = gettext_lazy(
        "Nothing yet. Whoever starts, pauses, cancels, retries or downloads a run is written"
        " down here."
    )
    fields = ("when", "who", "action", "run_link", "deliveries", "sent", "detail")
    readonly_fields = ("when", "who", "run_link", "deliveries")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Audit], search_term: str
    ) -> tuple[QuerySet[Audit], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        # The mailings and people first, which are few.
        mailings = Mailing.objects.filter(name__icontains=term).values_list("pk", flat=True)
        people = get_user_model().objects.filter(username__icontains=term)
        found = Q(run__mailing__in=list(mailings))
        found |= Q(actor__in=list(people.values_list("pk", flat=True)))
        return queryset.filter(found), False

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
