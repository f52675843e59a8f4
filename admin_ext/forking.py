"""Keeps a worker's forks and its main process's database work apart.

A child that is forked while another thread is inside SQLite inherits SQLite's locks as held, and
waits for ever at its first query. Two things work on the database in the main process: the
heartbeat's thread, and Celery itself when it writes what a killed, expired or revoked task can no
longer say. With a broker without an event loop (the embedded one) the latter runs in a thread
beside the one that forks (seen once in 450 killed children).
"""

import os
import threading
from typing import Any

from celery import signals
from celery.worker.request import Request

_WAIT_SECONDS = 5  # for a write that hangs on a locked database; a fork is not held up for longer


class _Forking:
    def __init__(self) -> None:
        self.paused = threading.RLock()
        self._held = False
        os.register_at_fork(
            before=self._before, after_in_parent=self._after, after_in_child=self._reset
        )

    def _before(self) -> None:
        self._held = self.paused.acquire(timeout=_WAIT_SECONDS)

    def _after(self) -> None:
        if self._held:
            self.paused.release()

    def _reset(self) -> None:
        self.paused = threading.RLock()


_forking = _Forking()


def pause_forks() -> threading.RLock:
    """While it is held (`with pause_forks():`) this process forks no child."""
    return _forking.paused


class WorkerRequest(Request):
    """Celery's own view of a task in the main process; it writes while nothing forks."""

    def on_failure(self, *args: Any, **kwargs: Any) -> Any:
        with pause_forks():
            return super().on_failure(*args, **kwargs)

    def on_timeout(self, soft: bool, timeout: float) -> Any:
        with pause_forks():
            return super().on_timeout(soft, timeout)

    def revoked(self) -> Any:
        with pause_forks():
            return super().revoked()


def connect() -> None:
    """Have every worker use WorkerRequest; again is harmless."""
    signals.worker_init.connect(_use_request, weak=False, dispatch_uid="admin_ext.forking")


def _use_request(sender: Any, **_rest: Any) -> None:
    sender.app.Task.Request = WorkerRequest
