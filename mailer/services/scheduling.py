"""A mailing's schedule: as the slot service reads it, and as beat must be woken for it."""

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
)

from mailer.models import Mailing

from .slots import Schedule, next_due
from .wake_ups import ClockedWakeUp, CrontabWakeUp, IntervalWakeUp, wake_up_for


def schedule_of(mailing: Mailing) -> Schedule:
    return Schedule(
        kind=mailing.schedule_kind,
        expression=mailing.schedule_expression,
        anchor=mailing.schedule_anchor,
        zone=ZoneInfo(mailing.schedule_zone),
        end=mailing.schedule_end,
    )


@transaction.atomic
def apply_schedule(mailing: Mailing, *, now: datetime) -> None:
    """Make a saved mailing's schedule count from `now` on: no slot before it, beat told.

    Call it after anything about the schedule changed, switching on and off included.
    """
    mailing.schedule_changed_at = now
    mailing.next_due_at = next_due(schedule_of(mailing), now=now) if mailing.enabled else None
    mailing.periodic_task = _write_wake_up(mailing, now=now)
    mailing.save(update_fields=["schedule_changed_at", "next_due_at", "periodic_task"])


@transaction.atomic
def switch_schedule(mailing: Mailing, *, on: bool, now: datetime) -> None:
    """Switch a mailing's schedule on (it counts from `now`) or off (runs under way go on)."""
    mailing.enabled = on
    mailing.save(update_fields=["enabled"])
    apply_schedule(mailing, now=now)


def remove_wake_up(mailing_id: int) -> None:
    """Forget the wake-up of a mailing that is gone."""
    PeriodicTask.objects.filter(task=WAKE_TASK, args=json.dumps([mailing_id])).delete()


WAKE_TASK = "mailer.wake_mailing"


def _write_wake_up(mailing: Mailing, *, now: datetime) -> PeriodicTask | None:
    earlier = mailing.periodic_task
    timing = _timing(schedule_of(mailing)) if mailing.next_due_at else None
    if timing is None:
        mailing.periodic_task = None
        if earlier:
            mailing.save(update_fields=["periodic_task"])
            earlier.delete()
        return None
    task = earlier or PeriodicTask()
    for name, value in timing.items():
        setattr(task, name, value)
    task.name = f"Mailing {mailing.pk}: {mailing.name}"
    task.task = WAKE_TASK
    task.args = json.dumps([mailing.pk])
    task.queue = settings.CONTROL_QUEUE
    # A wake-up that nobody took in time is worth nothing: the tick looks for what is due, too.
    task.expire_seconds = 60
    task.enabled = True
    # Without it beat fires at once after a change from 09:30 to 11:00 made at 12:02.
    task.last_run_at = now
    task.save()
    return task


def _timing(schedule: Schedule) -> dict[str, Any] | None:
    """The fields of a PeriodicTask that make beat fire at least as often as needed."""
    fields: dict[str, Any] = {"crontab": None, "interval": None, "clocked": None, "one_off": False}
    match wake_up_for(schedule):
        case CrontabWakeUp() as cron:
            fields["crontab"] = CrontabSchedule.objects.get_or_create(
                minute=cron.minute,
                hour=cron.hour,
                day_of_month=cron.day_of_month,
                month_of_year=cron.month_of_year,
                day_of_week=cron.day_of_week,
                timezone=cron.zone,
            )[0]
        case IntervalWakeUp(seconds=seconds):
            fields["interval"] = IntervalSchedule.objects.get_or_create(
                every=seconds, period=IntervalSchedule.SECONDS
            )[0]
        case ClockedWakeUp(at=at):
            fields["clocked"] = ClockedSchedule.objects.get_or_create(clocked_time=at)[0]
            fields["one_off"] = True
        case None:
            return None
    return fields
