"""Two real schedulers: one fires; killed, the other takes over; no second has two firings."""

import os
import signal
import time
from pathlib import Path

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from admin_ext.models import Heartbeat, Lease
from admin_ext.tests.processes import celery, kill, wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.system,
]


# The lease is 2 s, and it was last renewed up to 0.7 s before; the rest is for a busy machine.
SOON = 8


def holder_pid() -> int:
    lease = Lease.objects.first()
    return int(lease.holder.split(":")[1]) if lease else 0


def test_two_beats_one_frozen_then_one_killed(
    process_environment: dict[str, str], tmp_path: Path
) -> None:
    every = IntervalSchedule.objects.create(every=1, period="seconds")
    task = PeriodicTask.objects.create(name="each second", task="tests.quiet", interval=every)
    log, broker = tmp_path / "log", Path(process_environment["ADMIN_EXT_TEST_BROKER"])

    def sent() -> int:
        return sum("work" in path.name for path in broker.glob("*.msg"))

    beat = ("beat", "--loglevel=INFO", "--pidfile=")
    with (
        celery(process_environment, log, *beat) as one,
        celery(process_environment, log, *beat) as two,
    ):
        wait_until(lambda: sent() >= 2 and Heartbeat.objects.beats().count() == 2, log=log)
        first, second = (one, two) if holder_pid() == one.pid else (two, one)

        # Frozen, it loses the lease; awake again, it stands back and fires nothing.
        os.killpg(first.pid, signal.SIGSTOP)
        stopped_at, before = time.monotonic(), sent()
        wait_until(lambda: holder_pid() == second.pid, seconds=20, log=log)
        assert time.monotonic() - stopped_at < SOON
        wait_until(lambda: sent() >= before + 2, log=log)
        os.killpg(first.pid, signal.SIGCONT)
        wait_until(lambda: sent() >= before + 4, log=log)
        assert holder_pid() == second.pid

        # Killed, it is followed by the other within the lease.
        kill(second)
        killed_at, before = time.monotonic(), sent()
        wait_until(lambda: holder_pid() == first.pid, seconds=20, log=log)
        assert time.monotonic() - killed_at < SOON
        wait_until(lambda: sent() >= before + 2, log=log)

        # A clean end: the lease is let go of, the row is gone, and nothing fired twice.
        kill(first, signal.SIGTERM)
    assert not Lease.objects.exists(), log.read_text()
    assert not Heartbeat.objects.filter(pid=first.pid).exists()
    task.refresh_from_db()
    # A firing is counted before it is sent: a kill in between may cost one, never add one.
    # Nor did two fire within one second: each firing is at least a second after the last.
    assert 0 <= task.total_run_count - sent() <= 1
    assert sent() <= (task.last_run_at - task.date_changed).total_seconds() + 1
