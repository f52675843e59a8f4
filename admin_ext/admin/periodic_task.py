"""Periodic tasks: the free ones are changed here, the owned ones at their owner's page."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from admin_ext.components.badges import badge
from admin_ext.components.change_list import CarefulListMixin
from admin_ext.components.history import HistoryMixin
from admin_ext.components.links import link_to
from admin_ext.components.list_actions import confirmed_action
from admin_ext.components.numbers import format_number
from admin_ext.components.object_actions import ObjectActionsMixin
from admin_ext.components.plain_form import OwnWordsMixin, ShortSelectsMixin
from admin_ext.components.times import time_column
from admin_ext.registry import find_owner, owner_relations
from admin_ext.schedules import disable_periodic_tasks, enable_periodic_tasks

from .periodic_task_form import SCHEDULE_FIELDS, PeriodicTaskForm
from .run_now import RUN_NOW
from .words import TASK_HELP, TASK_LABELS

CHANGE_PERMISSION = "django_celery_beat.change_periodictask"


def _how_many(count: int) -> str:
    return ngettext("%(n)s periodic task", "%(n)s periodic tasks", count) % {
        "n": format_number(count)
    }


class PeriodicTaskAdmin(
    ObjectActionsMixin,
    HistoryMixin,
    OwnWordsMixin,
    ShortSelectsMixin,
    CarefulListMixin,
    admin.ModelAdmin[PeriodicTask],
):
    form = PeriodicTaskForm
    labels = TASK_LABELS
    help_texts = TASK_HELP
    autocomplete_fields = ("interval", "crontab", "solar", "clocked")
    change_form_template = "admin/djcelery/change_periodictask_form.html"
    list_display = ("name", "state", "schedule", "owner", "last_run")
    list_filter = ("enabled", "one_off")
    search_fields = ("name", "task")
    when_empty = _("Nothing runs by schedule.")
    list_select_related = ("interval", "crontab", "solar", "clocked")
    readonly_fields = ("owner", "last_run", "total_run_count")
    actions = ("enable_selected", "disable_selected")
    object_actions = (RUN_NOW,)
    fieldsets = (
        (None, {"fields": ("name", "owner", "regtask", "task", "enabled", "description")}),
        (_("Schedule"), {"fields": (*SCHEDULE_FIELDS, "last_run", "total_run_count")}),
        (_("Arguments"), {"classes": ("collapse",), "fields": ("args", "kwargs")}),
        (
            _("Sending"),
            {
                "classes": ("collapse",),
                "fields": (
                    "expires", "expire_seconds", "queue", "exchange", "routing_key", "priority",
                    "headers",
                ),
            },
        ),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        return super().get_queryset(request).select_related(*owner_relations())

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if self.has_change_permission(request, obj):
            return fieldsets
        # The list to choose a task from is a field of the form, and has nothing to be read; the
        # schedule is read in words, for who may see it may not see what it is made of.
        (title, first), (when, _choices), *rest = fieldsets
        fields = tuple(name for name in first["fields"] if name != "regtask")
        timing = {"fields": ("schedule", "last_run", "total_run_count")}
        return [(title, {**first, "fields": fields}), (when, timing), *rest]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _is_free(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _is_free(obj)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        task = kwargs.get("obj")
        crontabs = CrontabSchedule.objects.all()
        if "crontab" in self.get_autocomplete_fields(request):  # too many to tell of each
            crontabs = crontabs.filter(pk=task and task.crontab_id)
        context["crontabs_in_words"] = {one.pk: one.human_readable for one in crontabs}
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if {"enabled", *SCHEDULE_FIELDS} & set(form.changed_data):
            # Or a time of today that is over already would fire at once.
            obj.last_run_at = timezone.now()
        super().save_model(request, obj, form, change)

    @admin.display(description=_("state"), ordering="enabled")
    def state(self, task: PeriodicTask) -> SafeString:
        return badge("enabled", _("On")) if task.enabled else badge("disabled", _("Off"))

    @admin.display(description=_("schedule"))
    def schedule(self, task: PeriodicTask) -> str:
        return str(task.scheduler or "—")

    @admin.display(description=_("belongs to"))
    def owner(self, task: PeriodicTask) -> SafeString | str:
        owner = find_owner(task)
        return "—" if owner is None else link_to(owner)

    last_run = time_column("last_run_at", _("last run"), ordering="last_run_at")

    @confirmed_action(
        description=_("Switch on"),
        permission=CHANGE_PERMISSION,
        question=lambda tasks, count: (
            _("%(tasks)s: beat fires again from now on; what was due meanwhile is not made up for.")
            % {"tasks": _how_many(count)}
        ),
        button=lambda count: _("Switch on %(tasks)s") % {"tasks": _how_many(count)},
    )
    def enable_selected(
        self, request: HttpRequest, tasks: QuerySet[PeriodicTask], moment: datetime
    ) -> str:
        done = enable_periodic_tasks(tasks, now=timezone.now())
        return _("Switched on: %(tasks)s.") % {"tasks": _how_many(done)}

    @confirmed_action(
        description=_("Switch off"),
        permission=CHANGE_PERMISSION,
        question=lambda tasks, count: (
            _("%(tasks)s: beat fires no more until switched on again.")
            % {"tasks": _how_many(count)}
        ),
        button=lambda count: _("Switch off %(tasks)s") % {"tasks": _how_many(count)},
    )
    def disable_selected(
        self, request: HttpRequest, tasks: QuerySet[PeriodicTask], moment: datetime
    ) -> str:
        return _("Switched off: %(tasks)s.") % {"tasks": _how_many(disable_periodic_tasks(tasks))}


def _is_free(task: PeriodicTask | None) -> bool:
    return task is None or find_owner(task) is None
