"""Runs a task again by hand: once for each time that it failed, and never beside itself."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.utils.translation import gettext as _
from django_celery_results.models import TaskResult

from .components.outcome import ActionRefused
from .models import AttemptState, TaskAttempt
from .registry import find_task

# A retry that was sent and is not seen to start: after this it is taken for lost on the way.
START_WITHIN = timedelta(hours=1)


class RetryRefused(ActionRefused):
    """Why a task is not run again."""


def retry_task(attempt: TaskAttempt, *, by: Any, now: datetime) -> str:
    """Run the attempt's task again as a new task; its id. Raises RetryRefused, ActionRefused."""
    latest = TaskAttempt.objects.of_task(attempt.task_id).last()
    task = find_task(attempt.name)
    if task is None or task.retry is None:
        raise RetryRefused(_("This kind of task cannot be run again by hand."))
    if latest is None or latest.state == AttemptState.RUNNING:
        raise RetryRefused(_("It is still running."))
    if latest.state == AttemptState.RETRIED:
        raise RetryRefused(_("It will try again by itself."))
    refuse_second_retry(latest, now)
    # The claim: of two clicks at once, one finds the row as both have read it.
    unclaimed = TaskAttempt.objects.filter(pk=latest.pk, retried_at=latest.retried_at)
    if not unclaimed.update(retried_at=now, retried_as=""):
        raise RetryRefused(_("It is being run again already."))
    try:
        task_id = task.retry(latest, by)
    except Exception:
        TaskAttempt.objects.filter(pk=latest.pk, retried_at=now).update(
            retried_at=latest.retried_at, retried_as=latest.retried_as
        )
        raise
    TaskAttempt.objects.filter(pk=latest.pk).update(retried_as=task_id)
    _log(latest, task_id, by)
    return task_id


def refuse_second_retry(attempt: TaskAttempt, now: datetime) -> None:
    """Follow the retries of an attempt. Raises RetryRefused if one succeeded or is under way."""
    seen: set[str] = set()
    while attempt.retried_at is not None:
        task_id = attempt.retried_as
        again = TaskAttempt.objects.of_task(task_id).last() if task_id else None
        if again is None:
            if now - attempt.retried_at < START_WITHIN and not _is_over(task_id):
                raise RetryRefused(_("It was sent again already and has not started yet."))
            return
        if again.state == AttemptState.SUCCEEDED:
            raise RetryRefused(_("It was run again already and succeeded."))
        if again.state in {AttemptState.RUNNING, AttemptState.RETRIED}:
            raise RetryRefused(_("It is being run again already."))
        if again.task_id in seen:
            return
        seen.add(again.task_id)
        attempt = again


def _is_over(task_id: str) -> bool:
    """It ended without a start: revoked, or expired in the queue."""
    ended = TaskResult.objects.filter(task_id=task_id, status__in=["REVOKED", "FAILURE"])
    return bool(task_id) and ended.exists()


def _log(attempt: TaskAttempt, task_id: str, by: Any) -> None:
    result = TaskResult.objects.filter(task_id=attempt.task_id).first()
    LogEntry.objects.log_actions(
        user_id=by.pk,
        queryset=[result or attempt],
        action_flag=CHANGE,
        change_message=_("Run again as task %(id)s.") % {"id": task_id},
        single_object=True,
    )
