"""Runs: one time that a mailing went out, to be watched and steered."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from admin_ext.components.badges import badge
from admin_ext.components.history import Happening
from admin_ext.components.list_actions import confirmed_action
from admin_ext.components.numbers import format_number
from admin_ext.components.object_actions import ObjectActionsMixin
from admin_ext.components.outcome import ActionDone
from admin_ext.components.paginator import BigTableMixin
from admin_ext.components.pick_filter import PickFilter, PickFilterMixin
from admin_ext.components.progress import progress
from admin_ext.components.times import time_column
from mailer.exceptions import MailerError
from mailer.models import Mailing, Run
from mailer.states import DeliveryState, RunState

from . import run_list_actions as several
from .permissions import may_see_deliveries
from .read_only import ReadOnlyMixin
from .run_actions import CONTROL, RUN_ACTIONS, asked_problem
from .run_kind import KindFilter, NeedsFilter
from .run_page import deliveries_url, describe_batches, describe_run
from .timeline import timeline_of

#: What of a run's counts a list of runs has room for.
SHOWN = (DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.UNCERTAIN)


@admin.register(Run)
class RunAdmin(
    ObjectActionsMixin, PickFilterMixin, ReadOnlyMixin, BigTableMixin, admin.ModelAdmin[Run]
):
    list_filter = (KindFilter, NeedsFilter, ("mailing", PickFilter), "state", "trigger")
    list_select_related = ("mailing", "started_by")
    ordering = ("-id",)
    sortable_by = ("run",)
    search_fields = ("mailing__name",)  # switches the search on; get_search_results says how
    when_empty = gettext_lazy(
        "Nothing has gone out yet. A run begins when a mailing's time comes, or when somebody"
        " presses “Send now” on the mailing's page."
    )
    fields = ()
    object_actions = RUN_ACTIONS
    actions = ("pause_selected", "resume_selected", "cancel_selected")
    refusals = (MailerError,)
    has_history = True
    change_form_template = "admin/mailer/run/change_form.html"

    class Media:
        css = {"all": ("mailer/pages.css",)}

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        # The mailings first, which are few.
        named = Mailing.objects.filter(name__icontains=search_term.strip())
        found = queryset.filter(mailing__in=list(named.values_list("pk", flat=True)))
        return (found if search_term.strip() else queryset), False

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        counts = "counts" if may_see_deliveries(request) else "counts_alone"
        return ("run", "due", "badge", "progress", counts, "by_whom")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        return super().get_queryset(request).select_related("mailing")  # each is called by it

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        run: Any = super().get_object(request, object_id, from_field)
        if run is not None:
            run.asked_problem = asked_problem(request)  # what the retry's question is about
        return run

    def happenings(
        self, request: HttpRequest, obj: Any, *, before: datetime | None
    ) -> Iterable[Happening]:
        told = timeline_of(obj, request)
        return [event for event in told if before is None or event.at < before]

    def get_urls(self) -> list[URLPattern]:
        live = path(
            "<path:object_id>/live/",
            self.admin_site.admin_view(self.live_view),
            name="mailer_run_live",
        )
        return [live, *super().get_urls()]

    def live_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The moving part of a run's page by itself, for live.js."""
        run = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, run):
            raise PermissionDenied
        if run is None:
            raise Http404(_("This run does not exist."))
        return render(request, "admin/mailer/run/live.html", describe_run(run, request))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        run = kwargs["obj"]
        context |= describe_run(run, request) | describe_batches(run, request)
        context |= {"title": str(run), "subtitle": None}
        return super().render_change_form(request, context, *args, **kwargs)

    @confirmed_action(
        description=gettext_lazy("Pause…"),
        permission=CONTROL,
        question=several.what_pause_does,
        button=several.button(lambda n: ngettext("Pause %(n)s run", "Pause %(n)s runs", n)),
        only=several.only_sending,
    )
    def pause_selected(
        self, request: HttpRequest, runs: QuerySet[Run], moment: datetime
    ) -> ActionDone:
        return several.pause(request, runs)

    @confirmed_action(
        description=gettext_lazy("Resume…"),
        permission=CONTROL,
        question=several.what_resume_does,
        button=several.button(lambda n: ngettext("Resume %(n)s run", "Resume %(n)s runs", n)),
        only=several.only_paused,
    )
    def resume_selected(
        self, request: HttpRequest, runs: QuerySet[Run], moment: datetime
    ) -> ActionDone:
        return several.resume(request, runs)

    @confirmed_action(
        description=gettext_lazy("Cancel for good…"),
        permission=CONTROL,
        question=several.what_cancel_does,
        button=several.button(lambda n: ngettext("Cancel %(n)s run", "Cancel %(n)s runs", n)),
        only=several.only_going,
        dangerous=True,
    )
    def cancel_selected(
        self, request: HttpRequest, runs: QuerySet[Run], moment: datetime
    ) -> ActionDone:
        return several.cancel(request, runs)

    @admin.display(description=gettext_lazy("run"), ordering="id")
    def run(self, run: Run) -> SafeString:
        return format_html("<bdi>{}</bdi> · {} {}", run.mailing, _("run"), run.pk)

    due = time_column("slot", gettext_lazy("due"))

    @admin.display(description=gettext_lazy("state"))
    def badge(self, run: Run) -> SafeString:
        return badge(RunState(run.state))

    @admin.display(description=gettext_lazy("progress"))
    def progress(self, run: Run) -> SafeString | str:
        return progress(run.settled, run.total, str(run)) if run.total else "—"

    @admin.display(description=gettext_lazy("deliveries"))
    def counts(self, run: Run) -> SafeString | str:
        return format_html_join(
            ", ",
            '<a class="count" href="{}">{}</a>',
            ((deliveries_url(run, state__exact=state), words) for state, words in _shown(run)),
        )

    @admin.display(description=gettext_lazy("deliveries"))
    def counts_alone(self, run: Run) -> str:
        """For people who may not see deliveries: no link that would refuse them."""
        return ", ".join(words for _state, words in _shown(run))

    @admin.display(description=gettext_lazy("started by"))
    def by_whom(self, run: Run) -> str:
        return str(run.started_by or run.get_trigger_display())


def _shown(run: Run) -> list[tuple[DeliveryState, str]]:
    """A state and its count in words, for each that there is something to say of."""
    counts = [(state, getattr(run, state)) for state in SHOWN]
    return [
        (state, f"{format_number(count)} {state.label.lower()}") for state, count in counts if count
    ]
