"""The thread that beats in a worker's main process.

It has a database connection of its own that is open only while it writes: nothing is left open for
a forked child to inherit, and a database that was away is back with the next beat.
"""

import logging
import threading
from typing import Any

from celery import signals
from django.db import connections, router
from django.utils import timezone

from .conf import heartbeat_interval
from .forking import pause_forks
from .heartbeats import Process, record_heartbeat, remove_heartbeat
from .models import Heartbeat, ProcessKind

logger = logging.getLogger(__name__)


class HeartbeatThread(threading.Thread):
    """Beats until told to stop, whatever becomes of the database in between."""

    def __init__(self, consumer: Any) -> None:
        super().__init__(name="admin_ext heartbeat", daemon=True)
        self._consumer = consumer
        self._started_at = timezone.now()
        self._stopped = threading.Event()

    def run(self) -> None:
        interval = heartbeat_interval().total_seconds()
        while not self._stopped.is_set():
            self._write(record_heartbeat)
            self._stopped.wait(interval)
        self._write(remove_heartbeat)

    def stop(self) -> None:
        """Take the row away; waits a moment, not longer: a shutdown must not hang on this."""
        self._stopped.set()
        self.join(timeout=5)

    def _describe(self) -> Process:
        consumer = self._consumer
        return Process(
            kind=ProcessKind.WORKER,
            name=consumer.hostname,
            started_at=self._started_at,
            queues=tuple(sorted(consumer.app.amqp.queues.consume_from)),
            processes=getattr(consumer.pool, "num_processes", None) or 1,
        )

    def _write(self, write: Any) -> None:
        try:
            with pause_forks():
                try:
                    write(self._describe())
                finally:
                    connections[router.db_for_write(Heartbeat)].close()
        except Exception as error:
            # "database is locked", a server that restarts: the next beat tries again.
            logger.warning("The worker's heartbeat was not written: %s", error)


_threads: list[HeartbeatThread] = []


def connect() -> None:
    """Start with the worker, stop with it; again is harmless."""
    signals.worker_ready.connect(_start, weak=False, dispatch_uid="admin_ext.heartbeat_start")
    signals.worker_shutdown.connect(_stop, weak=False, dispatch_uid="admin_ext.heartbeat_stop")


def _start(sender: Any, **_rest: Any) -> None:
    thread = HeartbeatThread(sender)
    _threads.append(thread)
    thread.start()


def _stop(**_rest: Any) -> None:
    while _threads:
        _threads.pop().stop()
