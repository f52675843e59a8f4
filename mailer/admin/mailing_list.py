"""Lists: what people agreed to get, and how many they are."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from admin_ext.components.change_list import CarefulListMixin
from admin_ext.components.history import HistoryMixin
from admin_ext.components.numbers import format_number
from admin_ext.components.times import time_column
from mailer.models import MailingList, Subscription
from mailer.states import SubscriptionState

from .capped_count import CappedCount, row_count
from .deletion import GuardedDeletionMixin


@admin.register(MailingList)
class MailingListAdmin(
    HistoryMixin, GuardedDeletionMixin, CarefulListMixin, admin.ModelAdmin[MailingList]
):
    list_display = ("name", "people", "slug", "added")
    ordering = ("name",)
    search_fields = ("name", "slug")
    when_empty = gettext_lazy(
        "No list yet. People are on lists, and mailings go to lists; an import makes its list"
        " by itself."
    )
    fields = ("name", "slug", "description", "people")
    readonly_fields = ("people",)
    prepopulated_fields = {"slug": ("name",)}
    when_deleted = gettext_lazy(
        "The people on it stay recipients, without this list. No mailing uses it."
    )
    goes_along = ("subscriptions",)
    history_values = ("name", "slug", "description")

    def get_queryset(self, request: HttpRequest) -> QuerySet[MailingList]:
        mine = Subscription.objects.filter(list=OuterRef("pk"))
        found: QuerySet[MailingList] = super().get_queryset(request)
        return found.annotate(
            **{state: CappedCount(mine.filter(state=state)) for state in SubscriptionState.values}
        )

    def why_not_delete(self, obj: Any) -> str:
        mailings = list(obj.mailing_set.values_list("name", flat=True)[:5])
        if mailings:
            return _("“%(list)s” is used by %(mailings)s. Take it out there first.") % {
                "list": obj,
                "mailings": ", ".join(f"“{name}”" for name in mailings),
            }
        gone = obj.subscriptions.filter(state=SubscriptionState.UNSUBSCRIBED).count()
        if not gone:
            return ""
        return ngettext(
            "“%(list)s” is kept: %(n)s person has unsubscribed from it. That would be forgotten,"
            " and the next import would write to them again. No mailing uses the list, so nothing"
            " is sent to it: let it be.",
            "“%(list)s” is kept: %(n)s people have unsubscribed from it. That would be forgotten,"
            " and the next import would write to them again. No mailing uses the list, so nothing"
            " is sent to it: let it be.",
            gone,
        ) % {"list": obj, "n": format_number(gone)}

    @admin.display(description=gettext_lazy("people"))
    def people(self, mailing_list: Any) -> SafeString | str:
        if mailing_list.pk is None:
            return "—"
        counts = [
            f"{row_count(found)} {state.label.lower()}"
            for state in SubscriptionState
            if (found := getattr(mailing_list, state.value)) or state == "subscribed"
        ]
        query = urlencode({"list__id__exact": mailing_list.pk})
        url = reverse("admin:mailer_subscription_changelist")
        return format_html('<a href="{}?{}">{}</a>', url, query, ", ".join(counts))

    added = time_column("created_at", gettext_lazy("added"), ordering="created_at")
