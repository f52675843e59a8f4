"""Subscriptions: who is on a list, since when, and on what grounds."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from admin_ext.components.badges import badge
from admin_ext.components.history import HistoryMixin
from admin_ext.components.links import admin_link, name_column
from admin_ext.components.paginator import BigTableMixin
from admin_ext.components.pick_filter import PickFilter, PickFilterMixin
from admin_ext.components.plain_form import ShortSelectsMixin
from admin_ext.components.times import time_column
from mailer.models import Consent, Subscription
from mailer.states import SubscriptionState

from .people_search import HELP, search_people
from .read_only import ReadOnlyInline
from .subscription_form import SubscriptionForm, save_subscription

TONES = {
    SubscriptionState.SUBSCRIBED: "good",
    SubscriptionState.UNCONFIRMED: "wait",
    SubscriptionState.UNSUBSCRIBED: "quiet",
}


class ConsentInline(ReadOnlyInline):
    model = Consent
    fields = ("recorded", "state", "source", "evidence", "wording", "by_whom")
    readonly_fields = fields
    recorded = time_column("recorded_at", _("recorded"))
    by_whom = name_column("recorded_by", _("recorded by"))
    verbose_name_plural = _("consent records")


@admin.register(Subscription)
class SubscriptionAdmin(
    HistoryMixin,
    ShortSelectsMixin,
    PickFilterMixin,
    BigTableMixin,
    admin.ModelAdmin[Subscription],
):
    list_display = ("recipient", "list_link", "badge", "changed")
    list_filter = ("state", ("list", PickFilter))
    list_select_related = ("recipient", "list")
    sortable_by = ()
    search_fields = ("recipient__address",)
    when_empty = _(
        "Nobody is on a list yet. An import puts people on its list; one person is put on a"
        " list here, or on the recipient's page."
    )
    search_help_text = HELP
    form = SubscriptionForm
    fields = ("recipient", "list", "state", "evidence")
    autocomplete_fields = ("recipient", "list")
    inlines = (ConsentInline,)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("recipient", "list") if obj else ()

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        # The newest first; of one list, or in one state, by the index on that.
        narrowed = {"list__id__exact", "state__exact"} & set(request.GET)
        return ("-list_id", "-recipient_id") if narrowed else ("-id",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # it would forget that somebody unsubscribed

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Subscription], search_term: str
    ) -> tuple[QuerySet[Subscription], bool]:
        if not search_term.strip():
            return queryset, False
        return queryset.filter(recipient__in=search_people(request, search_term)), False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        save_subscription(form, by=request.user, now=timezone.now())

    @admin.display(description=_("list"))
    def list_link(self, subscription: Subscription) -> SafeString | str:
        return admin_link("mailer.mailinglist", subscription.list_id, subscription.list.name)

    @admin.display(description=_("state"))
    def badge(self, subscription: Subscription) -> SafeString:
        state = SubscriptionState(subscription.state)
        return badge(TONES[state], state.label)

    changed = time_column("changed_at", _("changed"))
