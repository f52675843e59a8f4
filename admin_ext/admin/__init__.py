"""Task results and schedules, read-only or guarded; registered in place of the packages' own."""

# The packages register theirs when they are imported; ours come after, and only then.
import django_celery_beat.admin  # noqa: F401
import django_celery_results.admin  # noqa: F401
from django.contrib import admin
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from django_celery_results.models import GroupResult, TaskResult

from .crontab import CrontabAdmin
from .periodic_task import PeriodicTaskAdmin
from .schedule import ClockedAdmin, IntervalAdmin, SolarAdmin
from .task_result import TaskResultAdmin

# Group results belong to chords, which this project's counters replace.
admin.site.unregister([GroupResult])
for model, model_admin in {
    TaskResult: TaskResultAdmin,
    PeriodicTask: PeriodicTaskAdmin,
    CrontabSchedule: CrontabAdmin,
    IntervalSchedule: IntervalAdmin,
    ClockedSchedule: ClockedAdmin,
    SolarSchedule: SolarAdmin,
}.items():
    admin.site.unregister(model)
    admin.site.register(model, model_admin)
