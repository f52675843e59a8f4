"""Recipients: who they are and what lists they are on."""

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from admin_ext.components.badges import badge
from admin_ext.components.history import HistoryMixin
from admin_ext.components.numbers import format_number
from admin_ext.components.paginator import BigTableMixin
from admin_ext.components.times import time_column
from mailer.models import Recipient, Subscription, Suppression
from mailer.states import SubscriptionState

from .capped_count import CappedCount
from .deletion import GuardedDeletionMixin
from .people_search import HELP, search_people
from .subscription_form import SubscriptionInline, save_subscription


@admin.register(Recipient)
class RecipientAdmin(
    HistoryMixin, GuardedDeletionMixin, BigTableMixin, admin.ModelAdmin[Recipient]
):
    list_display = ("address", "name", "language", "gets_mail", "added")
    ordering = ("-id",)
    search_fields = ("address",)  # switches the search on; get_search_results says how
    when_empty = _(
        "Nobody yet. A file of people is imported by a command, which the staff guide has;"
        " one person is added here."
    )
    search_help_text = HELP
    sortable_by = ("address", "added")
    fields = (
        "address", "name", "language", "time_zone", "attributes", "gets_mail", "mail",
    )  # fmt: skip
    readonly_fields = ("gets_mail", "mail")
    inlines = (SubscriptionInline,)
    when_deleted = _(
        "They get no more mail, until they are added or imported again. What was sent to them"
        " stays in its runs."
    )
    goes_along = ("subscriptions",)

    def get_fields(self, request: HttpRequest, obj: Recipient | None = None) -> list[Any]:
        """No link to a page that would refuse its reader."""
        may = request.user.has_perm("mailer.view_delivery")
        return [name for name in self.fields if may or name != "mail"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Recipient]:
        suppressed = Suppression.objects.filter(address_key=OuterRef("address_key"))
        on_lists = Subscription.objects.filter(recipient=OuterRef("pk"))
        found: QuerySet[Recipient] = super().get_queryset(request)
        return found.annotate(
            why_suppressed=Subquery(suppressed.values("reason")[:1]),
            lists_sending=CappedCount(on_lists.filter(state=SubscriptionState.SUBSCRIBED)),
            unconfirmed=Exists(on_lists.filter(state=SubscriptionState.UNCONFIRMED)),
            unsubscribed=Exists(on_lists.filter(state=SubscriptionState.UNSUBSCRIBED)),
        )

    def why_not_delete(self, obj: Any) -> str:
        lists = obj.unsubscribed_from()
        if not lists:
            return ""
        return gettext(
            "“%(recipient)s” has unsubscribed from %(lists)s and is kept: otherwise that would be"
            " forgotten, and the next import would put them back on the list."
        ) % {"recipient": obj, "lists": lists}

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Recipient], search_term: str
    ) -> tuple[QuerySet[Recipient], bool]:
        if not search_term.strip():
            return queryset, False
        return queryset.filter(pk__in=search_people(request, search_term)), False

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        formset.save(commit=False)  # fills in what the history says; the service saves
        for row in formset.forms:
            if row.has_changed():
                save_subscription(row, by=request.user, now=timezone.now())

    @admin.display(description=_("gets mail"))
    def gets_mail(self, recipient: Any) -> SafeString | str:
        if recipient.pk is None:
            return "—"
        if recipient.why_suppressed:
            reason = Suppression.Reason(recipient.why_suppressed).label
            return badge("bad", _("No: suppressed (%(why)s)") % {"why": reason.lower()})
        if count := recipient.lists_sending:
            words = ngettext("Yes, on %(n)s list", "Yes, on %(n)s lists", count)
            return badge("good", words % {"n": format_number(count)})
        if recipient.unconfirmed:
            return badge("wait", _("No: not confirmed yet"))
        if recipient.unsubscribed:
            return badge("quiet", _("No: unsubscribed"))
        return badge("quiet", _("No: on no list"))

    added = time_column("created_at", _("added"), ordering="id")

    @admin.display(description=_("mail"))
    def mail(self, recipient: Recipient) -> SafeString | str:
        if recipient.pk is None:
            return "—"
        url = reverse("admin:mailer_delivery_changelist")
        query = urlencode({"q": recipient.address})
        return format_html('<a href="{}?{}">{}</a>', url, query, _("What was sent to this address"))
