"""Beat's scheduler: all rows loaded, one leader, and each firing claimed in the database first.

What django-celery-beat's DatabaseScheduler does otherwise, and what follows from it:

- It loads a crontab only within two hours of its hour, so a slot missed by more is hidden, and the
  next day's fires early. Here every enabled row is loaded.
- It publishes first and writes `last_run_at` later, so a crash or a "database is locked" in between
  fires twice. Here a firing is one UPDATE that must find the row as it was when it fell due; only
  then the message goes out. What is lost in between (a kill, a broker that is down) is not fired:
  what must not be missed is looked for in the database by the project's own tick.
- Two of it fire everything twice. Here one holds a lease; the others wait, and take over when it
  is not renewed. The UPDATE above is the second lock, for a leader that was frozen and wakes up.
- It saves whole rows from memory, over what somebody has edited since. Here only what it changes.
"""

import logging
import os
import secrets
import socket
import threading
import time
from datetime import datetime
from typing import Any

from django.db import DatabaseError, InterfaceError, close_old_connections, connection
from django.db.models import QuerySet
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler
from kombu.exceptions import KombuError

from .conf import beat_lease, heartbeat_interval
from .heartbeats import Process, record_heartbeat, remove_heartbeat
from .models import Heartbeat, Lease, ProcessKind
from .schedule_entry import ScheduleEntry

logger = logging.getLogger(__name__)

LEASE_NAME = "beat"


class NotClaimedError(Exception):
    """The row is not as it was read: read all again."""


class Scheduler(DatabaseScheduler):  # type: ignore[misc]
    """For CELERY_BEAT_SCHEDULER: "admin_ext.scheduler:Scheduler"."""

    Entry = ScheduleEntry

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        host, pid = socket.gethostname(), os.getpid()
        self.name = f"{host}:{pid}"
        self.holder = f"{self.name}:{secrets.token_hex(4)}"
        self.leads = False
        self._closed = False
        self._started_at = timezone.now()
        self._renew_at = self._beat_at = 0.0
        self._lease_seconds = beat_lease().total_seconds()
        super().__init__(*args, **kwargs)
        # Often enough to renew the lease twice before it ends.
        self.max_interval: float = min(self.max_interval, self._lease_seconds / 3)

    def enabled_models_qs(self) -> QuerySet[PeriodicTask]:
        """All of them, whatever the hour."""
        tasks: QuerySet[PeriodicTask] = PeriodicTask.objects.enabled()
        return tasks

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Fire one due task, if this is the leader; how long to sleep, in seconds."""
        if self._closed:
            # The signal's SystemExit came to nothing: it fell into a function that SQLite had
            # called, which makes a database error of it. So it is raised once more.
            raise SystemExit
        try:
            self._keep_lease()
            self._beat()
            if not self.leads:
                return self._lease_seconds / 10
            return float(super().tick(*args, **kwargs))
        except NotClaimedError as error:
            logger.info("beat: %s was fired or changed elsewhere", error)
            self._read_again()
            return 0
        except (DatabaseError, InterfaceError) as error:
            # Nothing was fired: a firing goes out only after its row is written.
            logger.warning("beat: the database did not answer: %s", error)
            self._read_again()
            self._renew_at = 0.0
            close_old_connections()
            return min(1.0, self.max_interval)

    def reserve(self, entry: ScheduleEntry) -> ScheduleEntry:
        """Write the firing before the message goes out. Raises NotClaimedError."""
        claimed = entry.claim(timezone.now())
        if claimed is None:
            raise NotClaimedError(entry.name)
        if claimed.model.enabled:
            self._schedule[entry.name] = claimed
        else:
            self._schedule.pop(entry.name, None)
        return claimed

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send one. A broker that is down is a line in the log, not a page of stack for each."""
        logger.info("beat: sending %s (%s)", entry.name, entry.task)
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except Exception as error:
            known = isinstance(error.__context__, KombuError | OSError)
            logger.warning("beat: %s", error, exc_info=not known)

    def sync(self) -> None:
        """Nothing waits to be written: a firing is written when it is claimed."""

    def close(self) -> None:
        """Let another take over at once."""
        super().close()
        self._closed = True
        # Called from a signal handler, perhaps in the middle of a query: so in a thread, which has
        # a connection of its own. Beat calls it again on its way out, if the first came to nothing.
        apart = threading.Thread(target=self._let_go_apart, daemon=True)
        apart.start()
        apart.join(timeout=5)

    def _keep_lease(self) -> None:
        now = time.monotonic()
        if self.leads and now < self._renew_at:
            return
        led, self.leads = self.leads, False
        held = Lease.objects.take(LEASE_NAME, holder=self.holder, duration=beat_lease())
        if held and not led:
            logger.info("beat: %s fires now", self.name)
            Heartbeat.objects.beats().exclude(name=self.name).update(leader=False)
            self._read_again()
        elif led and not held:
            logger.warning("beat: %s was silent for too long; another fires now", self.name)
        if held != led:
            self._beat_at = 0.0
        self.leads, self._renew_at = held, now + self._lease_seconds / 3

    def _beat(self) -> None:
        now = time.monotonic()
        if now >= self._beat_at:
            record_heartbeat(self._describe())
            self._beat_at = now + heartbeat_interval().total_seconds()

    def _describe(self) -> Process:
        return Process(
            kind=ProcessKind.BEAT, name=self.name, started_at=self._started_at, leader=self.leads
        )

    def _read_again(self) -> None:
        self._heap = None
        self._last_full_sync = datetime.min  # noqa: DTZ901  # the parent's clock is naive

    def _let_go_apart(self) -> None:
        try:
            self._let_go()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("beat: the lease was not released and ends by itself: %s", error)
        finally:
            connection.close()

    def _let_go(self) -> None:
        Lease.objects.release(LEASE_NAME, holder=self.holder)
        remove_heartbeat(self._describe())
