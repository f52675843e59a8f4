"""Suppressions: addresses that get no mail, and why."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from admin_ext.components.history import HistoryMixin
from admin_ext.components.list_actions import ConfirmedActionsMixin, confirmed_action
from admin_ext.components.numbers import format_number
from admin_ext.components.outcome import ActionRefused
from admin_ext.components.paginator import BigTableMixin
from admin_ext.components.times import time_column
from mailer.models import Suppression
from mailer.services.searching import address_key_of

from .deletion import DeletionMixin

#: Somebody means each of them, and the history names each.
MOST_AT_ONCE = 1000


def _what_deleting_does(suppressions: QuerySet[Suppression], count: int) -> str:
    words = ngettext(
        "%(n)s suppression is deleted. From the next run on, that address gets the mail of every"
        " list it is subscribed to.",
        "%(n)s suppressions are deleted. From the next run on, those addresses get the mail of"
        " every list they are subscribed to.",
        count,
    )
    return words % {"n": format_number(count)}


def _delete_button(count: int) -> str:
    words = ngettext("Delete %(n)s suppression", "Delete %(n)s suppressions", count)
    return words % {"n": format_number(count)}


@admin.register(Suppression)
class SuppressionAdmin(
    HistoryMixin,
    ConfirmedActionsMixin,
    DeletionMixin,
    BigTableMixin,
    admin.ModelAdmin[Suppression],
):
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
    actions = ("delete_selected",)

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

    @confirmed_action(
        description=_("Delete selected…"),
        permission="mailer.delete_suppression",
        question=_what_deleting_does,
        button=_delete_button,
        dangerous=True,
    )
    def delete_selected(
        self, request: HttpRequest, suppressions: QuerySet[Suppression], moment: datetime
    ) -> str:
        keys = list(suppressions.order_by().values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
        if len(keys) > MOST_AT_ONCE:
            words = gettext("At most %(n)s at once; choose fewer.")
            raise ActionRefused(words % {"n": format_number(MOST_AT_ONCE)})
        chosen = Suppression.objects.filter(pk__in=keys)
        self.log_deletions(request, chosen)
        self.delete_queryset(request, chosen)
        words = ngettext(
            "%(n)s suppression was deleted.", "%(n)s suppressions were deleted.", len(keys)
        )
        return words % {"n": format_number(len(keys))}

    since = time_column("created_at", _("since"), ordering="id")
