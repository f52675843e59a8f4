"""Workers that die, or stand still, at one certain step of one certain message."""

from __future__ import annotations

import os
import signal
from typing import Any

from django.db import connection, transaction

from admin_ext.models import TaskAttempt
from faults.world import World
from mailer.models import Batch, Delivery, Run
from mailer.tests.factories import make_relay
from tests.system.processes import children, wait_until

RECIPIENTS = 60
BEFORE = 24  # messages that pass before the one it happens to: it is in the second window or later


def killed_at(world: World, step: str, **behaviour: Any) -> None:
    """The relay stands at the step when the worker dies: what it then has in hand is uncertain."""
    world.want_workers(1, processes=1)
    run = _hold(world, step, **behaviour)
    _kill(world)
    world.relay.behave(**behaviour)
    world.finish(run)
    assert run.uncertain > 0, "the kill found nothing in hand"


def killed_while_recording(world: World) -> None:
    """Every reply of a window is there, its transaction is not committed."""
    world.want_workers(1, processes=1)
    run = _hold(world, "accepted")
    with transaction.atomic():
        Run.objects.select_for_update().get(pk=run.pk)  # the last row of a window's transaction
        world.relay.behave()
        _wait_blocked("UPDATE", "mailer_run")
        _kill(world)
    world.finish(run)
    assert run.uncertain > 0, "the kill found nothing in hand"


def killed_while_checking(world: World) -> None:
    """The content is being tried in a child; the run is prepared once more."""
    world.want_workers(1, processes=1)
    run = world.start_run(recipients=RECIPIENTS)
    wait_until(lambda: children(_only_process(world)), what="the content is tried", every=0.01)
    world.kill_child(_only_process(world))
    world.finish(run)
    assert run.sent == RECIPIENTS


def killed_while_expanding(world: World) -> None:
    """The rows of many are made and not committed; there is one for each in the end."""
    world.want_workers(1, processes=1)
    run = world.start_run(recipients=500)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE mailer_batch IN EXCLUSIVE MODE")  # made last
        _wait_blocked("INSERT INTO", "mailer_batch")
        world.kill_child(_only_process(world))
    world.finish(run)
    assert run.sent == 500


def frozen_past_the_lease(world: World) -> None:
    """SIGSTOP: another takes over; once awake again it changes nothing, and sends nothing (I6)."""
    world.want_workers(1, processes=1)
    run = _hold(world, "accepted")
    sleeper = world.worker
    os.killpg(sleeper.pid, signal.SIGSTOP)
    world.other_windows += 1
    try:
        world.relay.behave()
        task_id = Batch.objects.get(run=run, state="sending").task_id
        world.want_workers(2, processes=1)
        world.finish(run)
        assert run.uncertain > 0, "it had nothing in hand"
        rows = list(Delivery.objects.filter(run=run).order_by("pk").values())
        accepted = len(world.relay.accepted)
    finally:
        os.killpg(sleeper.pid, signal.SIGCONT)
    attempt = TaskAttempt.objects.filter(task_id=task_id, finished_at__isnull=False)
    wait_until(attempt.exists, what="the frozen task came to its end")
    assert list(Delivery.objects.filter(run=run).order_by("pk").values()) == rows, "I6"
    assert len(world.relay.accepted) == accepted, "I6: it went on sending"
    assert attempt.filter(state="succeeded").exists(), "it did not see that its lease was over"


def _hold(world: World, step: str, **behaviour: Any) -> Run:
    """A run on one connection, which stands at this step of a message."""
    world.relay.behave(hold_at=step, hold_after=BEFORE, **behaviour)
    run = world.start_run(recipients=RECIPIENTS, relay=make_relay(connections=1))
    world.relay.wait_held()
    return run


def _kill(world: World) -> None:
    """One process alone, or the whole worker; another one follows."""
    if world.chance.random() < 0.3:
        world.kill_worker(world.worker)
        world.want_workers(1, processes=1)
    else:
        world.kill_child(_only_process(world))


def _only_process(world: World) -> int:
    wait_until(world.processes, what="the worker has a process")
    return world.processes()[0]


def _wait_blocked(verb: str, table: str) -> None:
    """Until somebody waits with such a statement for a lock that is held here."""

    def is_blocked() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees the same
            cursor.execute(
                "SELECT EXISTS (SELECT 1 FROM pg_stat_activity"
                " WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)) AND query ~* %s)",
                [f'^{verb} "?{table}'],
            )
            return bool(cursor.fetchone()[0])

    wait_until(is_blocked, what=f"somebody waits to {verb} {table}")
