"""Records each attempt of each task, from Celery's signals.

The pool's child sends prerun, success, retry, ordinary failure and postrun; the main process sends
revoked, a lost child's failure and the hard time limit's, sometimes twice. So an attempt is opened
at prerun and closed by whichever comes. Nothing here ever raises into a task: a task that works is
worth more than the record of it.

Tasks that ignore their result are not recorded: a tick every few seconds would drown the rest.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import signals, states
from celery.app.trace import get_actual_ignore_result  # type: ignore[attr-defined]
from django.db import DatabaseError, InterfaceError, connections, router, transaction

from .attempt_rows import close_attempt, open_attempt
from .conf import stale_after
from .models import AttemptState, Heartbeat, TaskAttempt

logger = logging.getLogger(__name__)


def connect() -> None:
    """Listen to Celery's task signals; again is harmless."""
    for signal, receiver in (
        (signals.task_prerun, _opened),
        (signals.task_success, _succeeded),
        (signals.task_retry, _retried),
        (signals.task_failure, _failed),
        (signals.task_revoked, _revoked),
        (signals.task_postrun, _ended),
    ):
        signal.connect(receiver, weak=False, dispatch_uid=f"admin_ext.{receiver.__name__}")


def close_orphans(now: datetime) -> int:
    """Call lost what still runs for a worker that is gone, or was started since. How many."""
    running = TaskAttempt.objects.running().filter(started_at__lt=now - stale_after())
    workers = dict(Heartbeat.objects.workers().alive(now).values_list("name", "started_at"))
    orphans = [
        pk
        for pk, worker, started_at in running.values_list("pk", "worker", "started_at")
        if worker not in workers or started_at < workers[worker]
    ]
    return (
        TaskAttempt.objects.running()
        .filter(pk__in=orphans)
        .update(state=AttemptState.LOST, finished_at=now, error="the worker was lost")
    )


def purge_attempts(before: datetime, *, limit: int = 5000) -> int:
    """Delete up to `limit` attempts that were started before; how many. Call until it is 0."""
    oldest = TaskAttempt.objects.filter(started_at__lt=before).order_by("started_at")
    pks = list(oldest.values_list("pk", flat=True)[:limit])
    return TaskAttempt.objects.filter(pk__in=pks).delete()[0]


def _never_raise(receiver: Callable[..., None]) -> Callable[..., None]:
    """Write in a savepoint, log what goes wrong, leave a usable connection behind."""

    @wraps(receiver)
    def safe(sender: Any = None, **kwargs: Any) -> None:
        alias = router.db_for_write(TaskAttempt)
        try:
            if get_actual_ignore_result(sender, sender.request):
                return
            with transaction.atomic(using=alias):
                receiver(sender=sender, **kwargs)
        except Exception as error:
            logger.warning("An attempt was not recorded: %s", error, exc_info=True)
            if isinstance(error, DatabaseError | InterfaceError):
                _heal(alias)

    return safe


def _heal(alias: str) -> None:
    connection = connections[alias]
    if not connection.in_atomic_block:
        try:
            connection.close_if_unusable_or_obsolete()
        except DatabaseError:
            logger.warning("The database connection could not be closed", exc_info=True)


@_never_raise
def _opened(sender: Any, task_id: str, args: Any, kwargs: Any, **_rest: Any) -> None:
    open_attempt(sender, task_id, args, kwargs)


@_never_raise
def _succeeded(sender: Any, **_rest: Any) -> None:
    close_attempt(sender, sender.request.id, AttemptState.SUCCEEDED)


@_never_raise
def _retried(sender: Any, request: Any, reason: Any, einfo: Any = None, **_rest: Any) -> None:
    cause = getattr(reason, "exc", None) or reason
    close_attempt(sender, request.id, AttemptState.RETRIED, error=cause, traceback=einfo)


@_never_raise
def _failed(
    sender: Any, task_id: str, exception: Any = None, einfo: Any = None, **_rest: Any
) -> None:
    # A killed child says nothing; the main process says it in its place.
    lost = isinstance(exception, WorkerLostError)
    state = AttemptState.LOST if lost else AttemptState.FAILED
    close_attempt(sender, task_id, state, error=exception, traceback=einfo)


@_never_raise
def _revoked(sender: Any, request: Any, terminated: bool = False, **_rest: Any) -> None:
    # One that was revoked before its start has no attempt, and gets none.
    if terminated:
        close_attempt(sender, request.id, AttemptState.FAILED, error="stopped by hand")


@_never_raise
def _ended(sender: Any, task_id: str, state: str | None = None, **_rest: Any) -> None:
    # Ignore and Reject send no signal of their own; a dying process has no state at all.
    if state == states.IGNORED:
        close_attempt(sender, task_id, AttemptState.SUCCEEDED)
    elif state == states.REJECTED:
        close_attempt(sender, task_id, AttemptState.FAILED, error="rejected")
