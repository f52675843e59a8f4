"""`check_alive`: one sentence, and an exit code that a container understands."""

import socket
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from admin_ext.conf import stale_after
from admin_ext.heartbeats import Process, record_heartbeat
from admin_ext.models import Heartbeat, ProcessKind

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def beat(kind: ProcessKind, name: str, *queues: str) -> None:
    record_heartbeat(Process(kind=kind, name=name, started_at=timezone.now(), queues=queues))


def test_who_lives_here_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    beat(ProcessKind.WORKER, "mail@here", "mail")
    call_command("check_alive", "worker")
    call_command("check_alive", "worker", "--queue", "mail")
    assert capsys.readouterr().out == "Alive: mail@here\n" * 2


def test_another_kind_or_queue_does_not_count() -> None:
    beat(ProcessKind.WORKER, "mail@here", "mail")
    with pytest.raises(CommandError, match="No beat on"):
        call_command("check_alive", "beat")
    with pytest.raises(CommandError, match="No worker for the queue control on"):
        call_command("check_alive", "worker", "--queue", "control")


def test_another_host_does_not_count() -> None:
    beat(ProcessKind.BEAT, "beat")
    call_command("check_alive", "beat")
    Heartbeat.objects.update(host=f"not-{socket.gethostname()}")
    with pytest.raises(CommandError, match="No beat on"):
        call_command("check_alive", "beat")


def test_the_silent_are_dead() -> None:
    beat(ProcessKind.BEAT, "beat")
    Heartbeat.objects.update(seen_at=timezone.now() - stale_after() - timedelta(seconds=1))
    with pytest.raises(CommandError, match="was heard of for 30 s"):
        call_command("check_alive", "beat")
