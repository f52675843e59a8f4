"""No child is forked while the main process works on the database."""

import os
import threading
from typing import Any

import pytest
from celery import Celery, signals
from celery.utils.imports import symbol_by_name
from celery.worker.request import Request

from admin_ext.forking import WorkerRequest, pause_forks


def is_paused() -> bool:
    """Seen from another thread, as the one that forks is."""
    free: list[bool] = []

    def look() -> None:
        with_lock = pause_forks()
        free.append(with_lock.acquire(blocking=False))
        if free[0]:
            with_lock.release()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return not free[0]


def test_a_fork_waits_for_the_database() -> None:
    child: list[int] = []

    def fork() -> None:
        child.append(os.fork())
        if child == [0]:
            os._exit(0 if pause_forks().acquire(blocking=False) else 1)

    forking = threading.Thread(target=fork)
    with pause_forks():
        forking.start()
        forking.join(timeout=0.2)
        assert not child, "forked beside the database"
    forking.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child[0], 0)[1]) == 0, "the child's lock is held"


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("on_failure", ("error",)), ("on_timeout", (False, 1.0)), ("revoked", ())],
)
def test_a_request_writes_while_nothing_forks(
    method: str, arguments: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Request, method, lambda self, *args: (is_paused(), args))
    request = WorkerRequest.__new__(WorkerRequest)
    assert getattr(request, method)(*arguments) == (True, arguments)
    assert not is_paused()


class Worker:
    def __init__(self, app: Celery) -> None:
        self.app = app


def test_a_worker_takes_its_requests_from_here(app: Celery) -> None:
    before = app.Task.Request
    try:
        signals.worker_init.send(sender=Worker(app))
        assert symbol_by_name(app.tasks["tests.work"].Request) is WorkerRequest
    finally:
        app.Task.Request = before
