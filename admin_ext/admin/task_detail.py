"""What the page of one task shows: its arguments, result, traceback and every attempt."""

import json
from typing import Any

from django_celery_results.models import TaskResult

from admin_ext.models import TaskAttempt
from admin_ext.registry import task_label

from .task_filters import STATES


def describe_task(result: TaskResult) -> dict[str, Any]:
    """The context of admin_ext/task_result.html."""
    attempts = list(TaskAttempt.objects.of_task(result.task_id))
    latest = attempts[-1] if attempts else None
    return {
        "title": task_label(result.task_name),
        "subtitle": None,
        "state_label": STATES.get(result.status, ""),
        "attempts": attempts,
        "latest": latest,
        # The attempt has them whole; the result only their first kilobyte, as Python prints them.
        "args": pretty_json(latest.args if latest else None) or result.task_args,
        "kwargs": pretty_json(latest.kwargs if latest else None) or result.task_kwargs,
        "result": pretty_json(result.result) or result.result,
    }


def pretty_json(text: str | None) -> str:
    """Indented JSON; what is not JSON as it stands; nothing as nothing."""
    if not text:
        return ""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text
