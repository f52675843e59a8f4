"""Batches: ranges of a run's deliveries, each sent by one task."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from admin_ext.components.badges import badge
from admin_ext.components.links import admin_link, link_to
from admin_ext.components.numbers import format_number
from admin_ext.components.paginator import BigTableMixin
from admin_ext.components.pick_filter import PickFilter, PickFilterMixin
from admin_ext.components.times import time_column
from mailer.models import Batch
from mailer.states import BatchState

from .read_only import ReadOnlyMixin
from .run_page import results_of


@admin.register(Batch)
class BatchAdmin(PickFilterMixin, ReadOnlyMixin, BigTableMixin, admin.ModelAdmin[Batch]):
    list_display = ("number", "run_link", "deliveries", "badge", "worker", "finished")
    list_filter = ("state", ("run", PickFilter))
    list_select_related = ("run__mailing",)
    ordering = ("-id",)
    sortable_by = ("number",)
    search_fields = ("=task_id",)
    when_empty = _("No batch yet. A run is sent in batches, one task for each.")
    search_help_text = _("A whole task id.")
    fields = (
        "run_link", "relay", "deliveries", "badge", "leased_until", "worker", "task",
        "created", "rung", "waits_until", "taken_up", "finished",
    )  # fmt: skip
    readonly_fields = (
        "run_link", "deliveries", "badge", "leased_until", "task", "created", "rung",
        "waits_until", "taken_up", "finished",
    )  # fmt: skip

    class Media:
        css = {"all": ("mailer/pages.css",)}

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        user: Any = request.user
        if user.has_perm("django_celery_results.view_taskresult"):
            return self.fields
        return ["task_id" if name == "task" else name for name in self.fields]

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> tuple[str, ...]:
        return ("number",)

    @admin.display(description=_("batch"), ordering="id")
    def number(self, batch: Batch) -> int:
        return batch.pk

    @admin.display(description=_("run"))
    def run_link(self, batch: Batch) -> SafeString | str:
        return link_to(batch.run)

    @admin.display(description=_("deliveries"))
    def deliveries(self, batch: Batch) -> str:
        return format_number(batch.size)

    @admin.display(description=_("state"))
    def badge(self, batch: Batch) -> SafeString:
        return badge(BatchState(batch.state))

    leased_until = time_column("lease_until", _("lease until"))
    created = time_column("created_at", _("created"))
    rung = time_column("rung_at", _("rung"))
    waits_until = time_column("not_before", _("not before"))
    taken_up = time_column("claimed_at", _("taken up"))
    finished = time_column("finished_at", _("finished"))

    @admin.display(description=_("task"))
    def task(self, batch: Batch) -> SafeString | str:
        if not batch.task_id:
            return "—"
        result = results_of([batch.task_id]).get(batch.task_id)
        if result is None:
            return batch.task_id
        return admin_link("django_celery_results.taskresult", result, batch.task_id)
