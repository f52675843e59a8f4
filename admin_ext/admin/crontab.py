"""Crontabs, in words too."""

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from .schedule import ScheduleAdmin


class CrontabAdmin(ScheduleAdmin):
    search_fields = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    list_display = ("__str__", "in_words", "used_by")
    readonly_fields = ("in_words",)
    fields = (
        "in_words", "minute", "hour", "day_of_month", "month_of_year", "day_of_week",
        "timezone",
    )  # fmt: skip

    @admin.display(description=_("in words"))
    def in_words(self, crontab: Any) -> str:
        return str(crontab.human_readable) if crontab.pk else "—"
