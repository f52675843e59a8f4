"""Workers and schedulers say that they live, in a row each; pages and the tick read the rows."""

import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models.functions import Now

from .models import Heartbeat, ProcessKind

# A row is kept for so long after its process fell silent: "not seen for 3 min" is worth reading.
KEPT_FOR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Process:
    """What a heartbeat says about its process."""

    kind: ProcessKind
    name: str
    started_at: datetime
    queues: tuple[str, ...] = ()
    processes: int = 0
    leader: bool = False


def record_heartbeat(process: Process) -> None:
    """Write "alive" by the database's clock; one statement."""
    row = Heartbeat(
        kind=process.kind,
        name=process.name,
        host=socket.gethostname(),
        pid=os.getpid(),
        queues=list(process.queues),
        processes=process.processes,
        leader=process.leader,
        started_at=process.started_at,
        seen_at=Now(),
    )
    Heartbeat.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["kind", "name"],
        update_fields=[
            "host", "pid", "queues", "processes", "leader", "started_at", "seen_at",
        ],
    )  # fmt: skip


def remove_heartbeat(process: Process) -> None:
    """A clean end; not of a namesake that has taken the name since."""
    row = Heartbeat.objects.filter(kind=process.kind, name=process.name)
    row.filter(host=socket.gethostname(), pid=os.getpid()).delete()


def live_processes(queue: str, now: datetime) -> int:
    """How many worker processes take from the queue."""
    workers = Heartbeat.objects.workers().alive(now).values_list("queues", "processes")
    return sum(processes for queues, processes in workers if queue in queues)


def purge_heartbeats(now: datetime) -> int:
    """Delete the rows of processes that have been silent for an hour; how many."""
    return Heartbeat.objects.filter(seen_at__lt=now - KEPT_FOR).delete()[0]
