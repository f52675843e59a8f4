"""Crontabs, in words too."""

from .schedule import ScheduleAdmin


class CrontabAdmin(ScheduleAdmin):
    list_display = ("__str__", "human_readable", "used_by")
    readonly_fields = ("human_readable",)
    fields = (
        "human_readable", "minute", "hour", "day_of_month", "month_of_year", "day_of_week",
        "timezone",
    )  # fmt: skip
