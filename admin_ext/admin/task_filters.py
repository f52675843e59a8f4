"""Filters of the task results: by lists known beforehand, so that none needs a DISTINCT."""

from typing import Any

from celery import current_app, states
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_celery_results.models import TaskResult
from django_stubs_ext import StrOrPromise

from admin_ext.registry import registered_tasks, task_label

STATES: dict[str, StrOrPromise] = {
    states.STARTED: _("Running"),
    states.SUCCESS: _("Succeeded"),
    states.RETRY: _("Will retry"),
    states.FAILURE: _("Failed"),
    states.REVOKED: _("Revoked"),
}


def known_task_names() -> list[str]:
    """What the project registered, and whatever else this process could run."""
    current_app.loader.import_default_modules()
    return sorted({*(task.name for task in registered_tasks()), *current_app.tasks})


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, StrOrPromise]]:
        return list(STATES.items())

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[TaskResult]
    ) -> QuerySet[TaskResult]:
        return queryset.filter(status=self.value()) if self.value() in STATES else queryset


class TaskNameFilter(admin.SimpleListFilter):
    title = _("task")
    parameter_name = "task_name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, StrOrPromise]]:
        names = [name for name in known_task_names() if not name.startswith("celery.")]
        return [(name, task_label(name)) for name in [*names, "celery.backend_cleanup"]]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[TaskResult]
    ) -> QuerySet[TaskResult]:
        return queryset.filter(task_name=self.value()) if self.value() else queryset
