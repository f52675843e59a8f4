"""The broker and the database: emptied, out of reach, full."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.utils import timezone

from faults.world import LEASE, PROCESSES, World
from mailer import tasks
from mailer.models import Batch, Run
from tests.system.processes import wait_until

DELAY = 0.02  # seconds a message, so that a run lasts for some seconds


def queues_emptied(world: World) -> None:
    """Every bell is lost, again and again; the tick rings from the database."""
    world.want_workers(1)
    world.relay.behave(delay=DELAY)
    run = world.start_run(recipients=600)
    for _ in range(5):
        world.installation.broker.empty()
        world.relay.wait_accepted(60)
    world.relay.behave()
    world.finish(run)
    assert run.sent == 600


def bells_rung_thrice(world: World) -> None:
    """The broker hands out everything more than once; one worker sends each batch all the same."""
    world.want_workers(2)
    world.relay.behave(delay=DELAY)
    run = world.start_run(recipients=600)
    world.wait_state(run, "sending")
    for pk in list(run.batches.values_list("pk", flat=True)) * 3:
        tasks.send_batch.apply_async((pk,))
        tasks.prepare_run.apply_async((run.pk,))
    world.finish(run)
    assert run.sent == 600


def broker_out_of_reach(world: World) -> None:
    """Every connection to it is cut, and for three seconds there is no other."""
    cable = world.installation.broker_cable
    assert cable is not None
    world.want_workers(1)
    world.relay.behave(delay=DELAY)
    run = world.start_run(recipients=600)
    world.relay.wait_accepted(60)
    cable.cut()
    time.sleep(3)
    cable.mend()
    world.relay.behave()
    world.finish(run)
    assert run.sent == 600


def database_away_for_a_moment(world: World) -> None:
    """Shorter than a lease, behind a 250: what was accepted meanwhile is recorded as sent."""
    assert _send_with_database_away(world, seconds=1) == 0


def database_away_past_the_lease(world: World) -> None:
    """What was accepted and could not be recorded is uncertain, and not sent again."""
    world.other_windows += PROCESSES
    assert _send_with_database_away(world, seconds=LEASE + 2) > 0


def _send_with_database_away(world: World, *, seconds: float) -> int:
    """How many are uncertain in the end."""
    cable = world.installation.database_cable
    assert cable is not None
    world.want_workers(1)
    world.relay.behave(hold_at="mail", hold_after=50)
    run = world.start_run(recipients=300)
    world.relay.wait_held()
    cable.cut()
    world.relay.behave()
    time.sleep(seconds)
    cable.mend()
    world.finish(run)
    return run.uncertain


def database_sessions_ended(world: World) -> None:
    """The server ends every session, five times, in the middle of whatever it was; nothing lost."""
    world.want_workers(1)
    world.relay.behave(delay=DELAY)
    run = world.start_run(recipients=600)
    for _ in range(5):
        world.relay.wait_accepted(40)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    world.relay.behave()
    world.finish(run)
    assert run.uncertain == 0, "a new session would have taken the outcomes"


def disk_full(world: World) -> None:
    """No row of the ledger can be written: once its window is over, nobody sends a message more."""
    world.want_workers(1)
    world.relay.behave(delay=DELAY)
    run = world.start_run(recipients=300)
    world.relay.wait_accepted(60)
    world.other_windows += PROCESSES
    with _full():
        allowed = world.may_still_arrive(run)
        wait_until(lambda: not _somebody_holds(run), what="the leases are over")
        after = {entry.address for entry in world.relay.accepted} - allowed
    assert not after, f"{len(after)} messages left behind a mark that was never written"
    world.relay.behave()
    world.finish(run)


def _somebody_holds(run: Run) -> bool:
    return Batch.objects.filter(run=run, state="sending", lease_until__gte=timezone.now()).exists()


@contextmanager
def _full() -> Iterator[None]:
    """PostgreSQL says what it says when a table cannot grow, whatever is written to the ledger."""
    tables = "mailer_batch", "mailer_delivery", "mailer_run"
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse_as_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
        )
        try:
            for table in tables:
                cursor.execute(
                    f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table}"
                    " FOR EACH STATEMENT EXECUTE FUNCTION refuse_as_full()"
                )
            yield
        finally:
            cursor.execute("DROP FUNCTION refuse_as_full CASCADE")
