"""Task results: what ran, on what, how it went; to be read, and run again."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django_celery_results.models import TaskResult
from django_stubs_ext import StrOrPromise

from admin_ext.components.badges import badge
from admin_ext.components.history import HistoryMixin
from admin_ext.components.links import admin_link, object_words
from admin_ext.components.list_actions import confirmed_action
from admin_ext.components.numbers import format_number
from admin_ext.components.object_actions import ObjectActionsMixin
from admin_ext.components.outcome import ActionDone
from admin_ext.components.paginator import BigTableMixin
from admin_ext.components.times import format_duration, time_tag
from admin_ext.models import AttemptState, TaskAttempt
from admin_ext.registry import task_label

from .run_again import RUN_AGAIN, run_again, what_run_again_does
from .task_detail import describe_task
from .task_filters import STATES, StateFilter, TaskNameFilter, known_task_names


class TaskResultList(ChangeList):
    """The page's rows, each with its last attempt: one query for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        attempts = TaskAttempt.objects.latest_by_task([row.task_id for row in self.result_list])
        for row in self.result_list:
            row.attempt = attempts.get(row.task_id)


class TaskResultAdmin(
    ObjectActionsMixin, HistoryMixin, BigTableMixin, admin.ModelAdmin[TaskResult]
):
    list_display = (
        "task", "state", "worked_on", "by_schedule", "duration", "worker", "done",
    )  # fmt: skip
    list_filter = (StateFilter, TaskNameFilter)
    search_fields = ("task_id",)
    when_empty = _("No task has run yet. Where that surprises you, no worker is running.")
    search_help_text = _("A whole task id, or part of a task's name.")
    ordering = ("-date_done",)
    sortable_by = ("done",)
    actions = ("run_again_selected",)
    object_actions = (RUN_AGAIN,)
    change_form_template = "admin_ext/task_result.html"
    fields = ()
    has_history = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def object_in_words(self, obj: Any) -> str:
        label = str(task_label(obj.task_name))
        attempt = TaskAttempt.objects.of_task(obj.task_id).last()
        if attempt is None or not attempt.object_label:
            return label
        return f"{label}: {object_words(attempt.object_label, attempt.object_pk)}"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return TaskResultList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[TaskResult], search_term: str
    ) -> tuple[QuerySet[TaskResult], bool]:
        """By whole values only, which the indexes answer; a part of a name finds the names."""
        term = search_term.strip()
        if not term:
            return queryset, False
        names = [
            name
            for name in known_task_names()
            if term.lower() in name.lower() or term.lower() in str(task_label(name)).lower()
        ]
        return queryset.filter(Q(task_id=term) | Q(task_name__in=names)), False

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context.update(describe_task(kwargs["obj"]))
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=_("task"))
    def task(self, row: TaskResult) -> StrOrPromise:
        return task_label(row.task_name)

    @admin.display(description=_("state"))
    def state(self, row: TaskResult) -> SafeString:
        attempt: TaskAttempt | None = getattr(row, "attempt", None)
        if attempt and attempt.state == AttemptState.LOST and row.status == "STARTED":
            # Nobody is left to write its end into the result.
            return badge(AttemptState.LOST)
        return badge(row.status.lower(), STATES.get(row.status, ""))

    @admin.display(description=_("worked on"))
    def worked_on(self, row: Any) -> SafeString | str:
        attempt: TaskAttempt | None = row.attempt
        if attempt is None or not attempt.object_label:
            return "—"
        return admin_link(attempt.object_label, attempt.object_pk)

    @admin.display(description=_("by schedule"))
    def by_schedule(self, row: Any) -> str:
        return row.periodic_task_name or "—"

    @admin.display(description=_("took"))
    def duration(self, row: Any) -> str:
        if row.date_started is None or row.status == "STARTED":
            return "—"
        return format_duration(row.date_done - row.date_started)

    @admin.display(description=_("done"), ordering="date_done")
    def done(self, row: TaskResult) -> SafeString | str:
        return time_tag(None if row.status == "STARTED" else row.date_done, now=timezone.now())

    @confirmed_action(
        description=_("Run again"),
        permission=RUN_AGAIN.permission,
        question=what_run_again_does,
        button=lambda count: (
            ngettext("Run %(n)s task again", "Run %(n)s tasks again", count)
            % {"n": format_number(count)}
        ),
    )
    def run_again_selected(
        self, request: HttpRequest, results: QuerySet[TaskResult], moment: datetime
    ) -> ActionDone:
        return run_again(results, by=request.user, now=timezone.now())
