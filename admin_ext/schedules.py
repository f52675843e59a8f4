"""Switching periodic tasks on and off, and running one now, so that beat sees it at once."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)
from django_celery_beat.schedulers import ModelEntry

from .components.outcome import ActionRefused
from .publishing import publish
from .registry import find_owner

RELATIONS: dict[type[Model], str] = {
    CrontabSchedule: "crontab",
    IntervalSchedule: "interval",
    ClockedSchedule: "clocked",
    SolarSchedule: "solar",
}


def enable_periodic_tasks(tasks: Iterable[PeriodicTask], *, now: datetime) -> int:
    """Switch on what is off; how many. What was due while they were off does not fire now."""
    off = PeriodicTask.objects.filter(pk__in=_free(tasks), enabled=False)
    # A one-off whose time is over would be switched off again at once.
    off = off.exclude(one_off=True, clocked__clocked_time__lte=now)
    enabled: int = off.update(enabled=True, last_run_at=now)
    PeriodicTasks.update_changed()
    return enabled


def disable_periodic_tasks(tasks: Iterable[PeriodicTask]) -> int:
    """Switch off what is on; how many."""
    disabled: int = PeriodicTask.objects.filter(pk__in=_free(tasks), enabled=True).update(
        enabled=False
    )
    PeriodicTasks.update_changed()
    return disabled


def restart_schedule(tasks: QuerySet[PeriodicTask], *, now: datetime) -> None:
    """Their schedule was changed: count from now, or the new time of today fires at once."""
    tasks.update(last_run_at=now)
    PeriodicTasks.update_changed()


def run_periodic_task(task: PeriodicTask, *, by: Any, now: datetime) -> str:
    """Send it now as beat would, with its queue, priority, expiry and headers; the task's id.

    Raises ActionRefused when it is over or the broker does not take it.
    """
    if task.expires and task.expires <= now:
        raise ActionRefused(_("Its schedule has ended; it would expire before it starts."))
    entry = ModelEntry(task)
    task_id = publish(task.task, entry.args, entry.kwargs, **entry.options)
    # Not the count: a one-off that is still to come must come.
    restart_schedule(PeriodicTask.objects.filter(pk=task.pk), now=now)
    LogEntry.objects.log_actions(
        user_id=by.pk,
        queryset=[task],
        action_flag=CHANGE,
        change_message=_("Run now as task %(id)s.") % {"id": task_id},
        single_object=True,
    )
    return task_id


def tasks_using(schedule: Model) -> QuerySet[PeriodicTask]:
    """The periodic tasks that run by this crontab, interval, clocked or solar row."""
    relation = RELATIONS[type(schedule)]
    tasks: QuerySet[PeriodicTask] = PeriodicTask.objects.filter(**{relation: schedule.pk})
    return tasks.order_by("name")


def _free(tasks: Iterable[PeriodicTask]) -> list[int]:
    """Those without an owner: an owned one is switched at its owner's page."""
    return [task.pk for task in tasks if find_owner(task) is None]
