"""Writes the row of an attempt: one per (task id, retries), whatever comes first or twice."""

import logging
from typing import Any

from django.db.models import F
from django.utils import timezone
from kombu.utils.json import dumps

from .models import AttemptState, TaskAttempt
from .publishing import RETRY_HEADER
from .registry import find_object

logger = logging.getLogger(__name__)

# A frozen worker's attempt is called lost, and may still be finished by it.
OPEN = (AttemptState.RUNNING, AttemptState.LOST)


def open_attempt(task: Any, task_id: str, args: Any, kwargs: Any) -> None:
    """The task starts: a new row, or the same one again when its message was redelivered."""
    request = task.request
    fields = {
        **_describe(task, request, args, kwargs),
        "state": AttemptState.RUNNING,
        "started_at": timezone.now(),
        "finished_at": None,
        "error": "",
        "traceback": "",
    }
    row = TaskAttempt.objects.filter(task_id=task_id, retries=request.retries)
    if not row.update(starts=F("starts") + 1, **fields):
        made = TaskAttempt(task_id=task_id, retries=request.retries, **fields)
        TaskAttempt.objects.bulk_create([made], ignore_conflicts=True)


def close_attempt(
    task: Any, task_id: str, state: AttemptState, *, error: Any = "", traceback: Any = None
) -> None:
    """The task ended. Closes what is open, of this worker only; an end without a start is kept."""
    request = task.request
    fields: dict[str, Any] = {
        "state": state,
        "finished_at": timezone.now(),
        "error": _one_line(error),
        "traceback": _text(getattr(traceback, "traceback", "") or ""),
    }
    row = TaskAttempt.objects.filter(task_id=task_id)
    if request.id != task_id:
        # The hard time limit and a revocation come without the request: whichever runs.
        row.running().update(**fields)
        return
    row = row.filter(retries=request.retries)
    # Another worker's row is not ours to close: the message was given to it when we fell silent.
    if row.filter(state__in=OPEN, worker=request.hostname or "").update(**fields):
        return
    # Closed already, or its start was not recorded (a database away for a moment).
    missed = TaskAttempt(
        task_id=task_id,
        retries=request.retries,
        started_at=fields["finished_at"],
        **_describe(task, request, request.args or (), request.kwargs or {}),
        **fields,
    )
    TaskAttempt.objects.bulk_create([missed], ignore_conflicts=True)


def _describe(task: Any, request: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    label, pk = _find_object(task.name, args, kwargs)
    return {
        "name": task.name,
        "args": _as_json(args),
        "kwargs": _as_json(kwargs),
        # The default exchange routes by the queue's name.
        "queue": (request.delivery_info or {}).get("routing_key") or "",
        "worker": request.hostname or "",
        "object_label": label,
        "object_pk": pk,
        "retry_of": _header(request, RETRY_HEADER),
    }


def _find_object(name: str, args: Any, kwargs: Any) -> tuple[str, str]:
    try:
        return find_object(name, args, kwargs)
    except Exception as error:  # the project's function; the attempt matters more than its link
        logger.warning("What %s works on is unknown: %s", name, error, exc_info=True)
        return "", ""


def _header(request: Any, name: str) -> str:
    # Eager mode keeps headers apart; a worker merges them into the request.
    return request.get(name) or (request.headers or {}).get(name) or ""


def _as_json(value: Any) -> str | None:
    try:
        return dumps(value)
    except (TypeError, ValueError):
        return None


def _text(value: Any) -> str:
    return str(value).replace("\x00", "\N{REPLACEMENT CHARACTER}")  # PostgreSQL stores no NUL


def _one_line(error: Any) -> str:
    words = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)
    return _text(" ".join(words.split()))[:500]
