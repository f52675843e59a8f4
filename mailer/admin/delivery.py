"""Deliveries: what became of one message to one recipient."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from admin_ext.components.links import admin_link, link_to
from admin_ext.components.object_actions import ObjectActionsMixin
from admin_ext.components.paginator import BigTableMixin
from admin_ext.components.pick_filter import PickFilter, PickFilterMixin
from admin_ext.components.times import time_column, time_tag
from mailer.engine.frame import message_id, read_message_id
from mailer.exceptions import MailerError
from mailer.models import Delivery
from mailer.services.searching import address_key_of
from mailer.states import DeliveryState

from .delivery_actions import DeliveryActionsMixin
from .delivery_export import ExportMixin
from .delivery_page import attempts_of, badge_of, gives_up_at, state_in_words
from .delivery_state import ReplyFilter, StateFilter, asked_run
from .one_delivery import ONE_DELIVERY_ACTIONS
from .people_search import search_people
from .read_only import ReadOnlyMixin


@admin.register(Delivery)
class DeliveryAdmin(
    ObjectActionsMixin,
    DeliveryActionsMixin,
    ExportMixin,
    PickFilterMixin,
    ReadOnlyMixin,
    BigTableMixin,
    admin.ModelAdmin[Delivery],
):
    list_display = ("address", "badge", "why", "last_outcome", "run_link")
    object_actions = ONE_DELIVERY_ACTIONS
    refusals = (MailerError,)
    list_filter = (("state", StateFilter), ReplyFilter, ("run", PickFilter))
    list_select_related = ("run__mailing",)
    search_fields = ("address",)
    when_empty = gettext_lazy(
        "Nothing was sent yet. A run has a delivery here for each of its recipients."
    )
    search_help_text = gettext_lazy(
        "Any part of a recipient's address or name, of three letters or more; or a whole"
        " Message-ID. Of one run also a domain: @example.com"
    )
    sortable_by = ()
    fields = (
        "state_words", "run_link", "recipient_link", "last_outcome", "next_try", "message_id",
        "values",
    )  # fmt: skip
    readonly_fields = ("state_words", "run_link", "recipient_link", "last_outcome", "next_try",
                       "message_id", "filled_in", "values")  # fmt: skip
    change_form_template = "admin/mailer/delivery/change_form.html"
    change_list_template = "admin/mailer/delivery/change_list.html"

    class Media:
        css = {"all": ("mailer/pages.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        return super().get_queryset(request).defer("variables", "address_key")

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        columns = [*self.list_display]
        if "run__id__exact" in request.GET:
            columns.remove("run_link")
        if request.GET.get("state__exact") == DeliveryState.UNCERTAIN:
            columns.insert(2, "message_id")  # what the relay's log is searched for
        return tuple(columns)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_fields(request, obj)
        if obj is None or not obj.run.is_single:
            return fields
        return ["filled_in" if name == "values" else name for name in fields]

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        # Within a run by its index (run, seq); over all of them the newest first.
        return ("run_id", "seq") if "run__id__exact" in request.GET else ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Delivery], search_term: str
    ) -> tuple[QuerySet[Delivery], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.startswith("@") and "run__id__exact" in request.GET:
            return queryset.filter(domain=term[1:].lower()), False
        found = Q(recipient__in=search_people(request, term))
        found |= Q(recipient__isnull=True, address_key=address_key_of(term))
        if uuid := read_message_id(term):
            found |= Q(pk__in=Delivery.objects.with_uuid(uuid))
        return queryset.filter(found), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "of_run": asked_run(request),
            "problem": request.GET.get("problem", ""),
            "may_export": self.may_export(request),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context |= {"title": str(kwargs["obj"]), "subtitle": None}
        context["attempts"] = attempts_of(kwargs["obj"])
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=gettext_lazy("state"))
    def badge(self, delivery: Delivery) -> SafeString:
        return badge_of(delivery.state)

    @admin.display(description=gettext_lazy("state"))
    def state_words(self, delivery: Delivery) -> SafeString:
        return state_in_words(delivery)

    @admin.display(description=gettext_lazy("reply"))
    def why(self, delivery: Delivery) -> str:
        return Truncator(delivery.reply or delivery.problem or "—").chars(80)

    last_outcome = time_column("settled_at", gettext_lazy("last outcome"))

    @admin.display(description=gettext_lazy("next try"))
    def next_try(self, delivery: Delivery) -> SafeString:
        due = None if gives_up_at(delivery) else delivery.retry_at
        return time_tag(due, now=timezone.now())

    @admin.display(description=gettext_lazy("run"))
    def run_link(self, delivery: Delivery) -> SafeString | str:
        return link_to(delivery.run)

    @admin.display(description=gettext_lazy("recipient"))
    def recipient_link(self, delivery: Delivery) -> SafeString | str:
        if delivery.recipient_id is None:
            return "—" if delivery.run.is_single else _("deleted since")
        return admin_link("mailer.recipient", delivery.recipient_id, delivery.address)

    @admin.display(description=gettext_lazy("filled in"))
    def filled_in(self, delivery: Delivery) -> str:
        """The names alone: one may be a link that sets a password, or the code that logs in."""
        return ", ".join(sorted(delivery.variables))

    @admin.display(description=gettext_lazy("filled in"))
    def values(self, delivery: Delivery) -> SafeString:
        rows = sorted(delivery.variables.items())
        words = format_html_join("", "<dt>{}</dt><dd><bdi>{}</bdi></dd>", rows)
        return format_html('<dl class="values">{}</dl>', words)

    @admin.display(description="Message-ID")
    def message_id(self, delivery: Delivery) -> SafeString:
        return format_html("<code>{}</code>", message_id(delivery.uuid, settings.MAIL_DOMAIN))
