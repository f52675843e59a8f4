"""Who is alive, and how many processes take from a queue."""

import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from admin_ext import heartbeat_thread
from admin_ext.heartbeat_thread import HeartbeatThread
from admin_ext.heartbeats import (
    Process,
    live_processes,
    purge_heartbeats,
    record_heartbeat,
    remove_heartbeat,
)
from admin_ext.models import Heartbeat, ProcessKind

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def process(name: str, processes: int = 2, queues: tuple[str, ...] = ("mail",)) -> Process:
    return Process(
        kind=ProcessKind.WORKER,
        name=name,
        started_at=timezone.now(),
        queues=queues,
        processes=processes,
    )


def consumer() -> Any:
    queues = SimpleNamespace(consume_from={"mail": None, "control": None})
    return SimpleNamespace(
        hostname="mail@host",
        app=SimpleNamespace(amqp=SimpleNamespace(queues=queues)),
        pool=SimpleNamespace(num_processes=3),
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_beat_is_one_row_and_one_statement(django_assert_num_queries: Any) -> None:
    record_heartbeat(process("a", processes=2))
    with django_assert_num_queries(1):
        record_heartbeat(process("a", processes=5))
    row = Heartbeat.objects.get()
    assert row.processes == 5
    assert abs(row.seen_at - timezone.now()) < timedelta(seconds=10)


def test_live_processes_counts_who_is_alive_and_takes_from_the_queue() -> None:
    record_heartbeat(process("a", processes=2, queues=("mail", "control")))
    record_heartbeat(process("b", processes=3))
    record_heartbeat(process("c", processes=1, queues=("control",)))
    now = timezone.now()
    assert live_processes("mail", now) == 5
    assert live_processes("control", now) == 3
    assert live_processes("mail", now + timedelta(minutes=1)) == 0


def test_a_clean_end_takes_only_its_own_row() -> None:
    record_heartbeat(process("a"))
    Heartbeat.objects.update(pid=1)
    remove_heartbeat(process("a"))
    assert Heartbeat.objects.count() == 1, "a namesake on another machine has the name now"
    record_heartbeat(process("a"))
    remove_heartbeat(process("a"))
    assert not Heartbeat.objects.exists()


def test_the_silent_are_shown_for_an_hour() -> None:
    record_heartbeat(process("a"))
    now = timezone.now()
    assert purge_heartbeats(now + timedelta(minutes=59)) == 0
    assert purge_heartbeats(now + timedelta(minutes=61)) == 1


@pytest.mark.django_db(transaction=True)
def test_the_thread_beats_and_takes_its_row_away(settings: Any) -> None:
    settings.ADMIN_EXT_HEARTBEAT_SECONDS = 0.05
    thread = HeartbeatThread(consumer())
    thread.start()
    wait_for(Heartbeat.objects.exists)
    first = Heartbeat.objects.get()
    assert (first.name, first.queues, first.processes) == ("mail@host", ["control", "mail"], 3)
    wait_for(lambda: Heartbeat.objects.get().seen_at > first.seen_at)
    thread.stop()
    assert not thread.is_alive()
    assert not Heartbeat.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_thread_outlives_a_database_that_goes_away(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ADMIN_EXT_HEARTBEAT_SECONDS = 0.02
    beats = []

    def flaky(process: Process) -> None:
        beats.append(process)
        if len(beats) < 4:
            raise OperationalError("database is locked")
        record_heartbeat(process)

    monkeypatch.setattr(heartbeat_thread, "record_heartbeat", flaky)
    thread = HeartbeatThread(consumer())
    thread.start()
    wait_for(Heartbeat.objects.exists)
    thread.stop()
    assert connection.is_usable(), "it has a connection of its own"
