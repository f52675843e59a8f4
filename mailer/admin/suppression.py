"""Suppressions: addresses that get no mail, and why."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from admin_ext.components.history import HistoryMixin
from admin_ext.components.paginator import BigTableMixin
from admin_ext.components.times import time_column
from mailer.models import Suppression
from mailer.services.searching import address_key_of

from .deletion import DeletionMixin


@admin.register(Suppression)
class SuppressionAdmin(HistoryMixin, DeletionMixin, BigTableMixin, admin.ModelAdmin[Suppression]):
    """Added by hand with the reason "by staff"; never changed, but it can be taken back."""

    list_display = ("__str__", "reason", "detail", "since")
    list_filter = ("reason",)
    ordering = ("-id",)
    sortable_by = ("since",)
    search_fields = ("address",)
    when_empty = _(
        "No address is suppressed. Those that turn out to be dead come here by themselves;"
        " add one for somebody who wants no mail at all."
    )
    search_help_text = _("A whole e-mail address.")

    when_deleted = _(
        "From the next run on, this address gets the mail of every list it is subscribed to."
    )
    readonly_fields = ("since",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("address", "reason", "detail", "since") if obj else ("address", "detail")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Suppression], search_term: str
    ) -> tuple[QuerySet[Suppression], bool]:
        # By the key alone: it finds an erased person's suppression, too.
        term = search_term.strip()
        return (queryset.filter(address_key=address_key_of(term)) if term else queryset), False

    since = time_column("created_at", _("since"), ordering="id")
