"""Schedules: shared by periodic tasks, so none goes away under them."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from admin_ext.components.change_list import CarefulListMixin
from admin_ext.components.history import HistoryMixin
from admin_ext.components.links import link_to
from admin_ext.components.numbers import format_number
from admin_ext.components.plain_form import OwnWordsMixin
from admin_ext.schedules import restart_schedule, tasks_using

from .words import SCHEDULE_HELP, SCHEDULE_LABELS


class ScheduleAdmin(HistoryMixin, OwnWordsMixin, CarefulListMixin, admin.ModelAdmin[Any]):
    """What every kind of schedule has in common."""

    labels = SCHEDULE_LABELS
    help_texts = SCHEDULE_HELP
    when_empty = gettext_lazy("None yet. A periodic task's form can make one, too.")
    list_display: tuple[str, ...] = ("__str__", "used_by")

    @admin.display(description=gettext_lazy("used by"))
    def used_by(self, schedule: Any) -> str:
        count = tasks_using(schedule).count()
        return ngettext("%(n)s periodic task", "%(n)s periodic tasks", count) % {
            "n": format_number(count)
        }

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and form.has_changed():
            restart_schedule(tasks_using(obj), now=timezone.now())

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        schedule = self.get_object(request, object_id)
        users = [] if schedule is None else list(tasks_using(schedule)[:4])
        if not users or not self.has_delete_permission(request, schedule):
            return super().delete_view(request, object_id, extra_context)
        refusal = _(
            "“%(schedule)s” cannot be deleted: %(tasks)s would stop. "
            "Give what uses it another schedule first."
        )
        names = ", ".join(f"“{task.name}”" for task in users[:3]) + (" …" if users[3:] else "")
        self.message_user(request, refusal % {"schedule": schedule, "tasks": names}, messages.ERROR)
        opts = self.opts
        page = reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[object_id])
        return HttpResponseRedirect(page)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What uses them counts as protected, where the database would delete it with them."""
        to_delete, counts, lacking, protected = super().get_deleted_objects(objs, request)
        for schedule in objs:
            protected += [link_to(task) for task in tasks_using(schedule)]
        return to_delete, counts, lacking, protected


class HiddenScheduleAdmin(ScheduleAdmin):
    """Rarely used: reached from a periodic task's form, and left out of the index."""

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        return {}


class IntervalAdmin(ScheduleAdmin):
    search_fields = ("every", "period")


class ClockedAdmin(HiddenScheduleAdmin):
    search_fields = ("clocked_time",)


class SolarAdmin(HiddenScheduleAdmin):
    search_fields = ("event",)
