"""The "Run again" of task results: one from its page, many from the list."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django_celery_results.models import TaskResult

from admin_ext.components.links import url_of
from admin_ext.components.numbers import format_number
from admin_ext.components.object_actions import ObjectAction
from admin_ext.components.outcome import ActionDone, ActionRefused
from admin_ext.models import TaskAttempt
from admin_ext.registry import find_task, task_label
from admin_ext.retrying import retry_task

# More than this from one page would keep the browser waiting on the broker.
MOST_AT_ONCE = 500


def run_again(results: QuerySet[TaskResult], *, by: Any, now: datetime) -> ActionDone:
    """Run each again that may be; says how many, and why the others were not."""
    chosen = list(results.only("task_id")[: MOST_AT_ONCE + 1])
    if len(chosen) > MOST_AT_ONCE:
        raise ActionRefused(
            _("At most %(n)s at once; choose fewer.") % {"n": format_number(MOST_AT_ONCE)}
        )
    attempts = TaskAttempt.objects.latest_by_task([result.task_id for result in chosen])
    reasons: dict[str, int] = {}
    for result in chosen:
        try:
            attempt = attempts.get(result.task_id)
            if attempt is None:
                raise ActionRefused(
                    _("It was not recorded, so what it was called with is unknown.")
                )
            retry_task(attempt, by=by, now=now)
        except ActionRefused as refusal:
            reasons[str(refusal)] = reasons.get(str(refusal), 0) + 1
    done = len(chosen) - sum(reasons.values())
    said = [
        ngettext("%(n)s task was sent again.", "%(n)s tasks were sent again.", done)
        % {"n": format_number(done)}
    ]
    said += [
        ngettext("%(n)s was not: %(why)s", "%(n)s were not: %(why)s", count)
        % {"n": format_number(count), "why": why}
        for why, count in reasons.items()
    ]
    return ActionDone(" ".join(said), level=messages.WARNING if reasons else messages.SUCCESS)


def what_run_again_does(results: QuerySet[TaskResult], count: int) -> str:
    words = ngettext(
        "%(n)s task is sent to the queue again, with the same arguments.",
        "%(n)s tasks are sent to the queue again, with the same arguments.",
        count,
    ) % {"n": format_number(count)}
    names = results.order_by().values_list("task_name", flat=True).distinct()
    return _with_promise(words, names)


def _what_run_one_does(result: TaskResult) -> str:
    words = _("“%(task)s” is sent to the queue again, with the same arguments.")
    return _with_promise(words % {"task": task_label(result.task_name)}, [result.task_name])


def _with_promise(words: str, names: Iterable[str | None]) -> str:
    """Only of tasks that are all registered as idempotent is it true."""
    tasks = [find_task(name or "") for name in names]
    if not all(task is not None and task.idempotent for task in tasks):
        return words
    return f"{words} {_('What was done already is not done twice.')}"


def _run_one(request: HttpRequest, result: TaskResult, moment: datetime) -> ActionDone:
    attempt = TaskAttempt.objects.of_task(result.task_id).last()
    if attempt is None:
        raise ActionRefused(_("It was not recorded, so what it was called with is unknown."))
    task_id = retry_task(attempt, by=request.user, now=timezone.now())
    again = TaskResult.objects.filter(task_id=task_id).first()
    words = _("It was sent again as task %(id)s.") % {"id": task_id}
    return ActionDone(words, url=url_of(again) if again else "")


def _can_run_again(result: TaskResult) -> bool:
    task = find_task(result.task_name or "")
    over = result.status in {"SUCCESS", "FAILURE", "REVOKED"}
    return (
        task is not None
        and task.retry is not None
        and (over or TaskAttempt.objects.of_task(result.task_id).filter(state="lost").exists())
    )


RUN_AGAIN = ObjectAction(
    name="run_again",
    label=gettext_lazy("Run again"),
    permission="admin_ext.retry_task",
    question=_what_run_one_does,
    run=_run_one,
    available=_can_run_again,
    why_not=lambda result: _("Only a registered task that is over can be run again."),
)
