"""A site at work, what can be done to it, and what it came to."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from faults.checking import WINDOW
from faults.installation import Installation
from faults.relay import Accepted, RecordingRelay
from mailer import tasks
from mailer.models import Batch, Delivery, Mailing, MailingList, Recipient, Run, Subscription
from mailer.services.control import cancel_run
from mailer.services.planning import start_now
from mailer.states import RUN_FINAL
from mailer.tests.factories import make_mailing, make_relay
from tests.system.processes import Site, children, wait_until

LEASE = 2.0  # seconds
PATIENCE, DOT_PATIENCE = 3.0, 6.0  # seconds for the reply to a command, and to a text
PROCESSES = 2  # of a worker
Process = subprocess.Popen[bytes]
_numbers = count(1)


@dataclass(slots=True)
class Kills:
    """`workers` with all their processes, `children` alone; `processes`: those that send, of both.

    What a process had in hand may become uncertain, one window at most.
    """

    workers: int = 0
    children: int = 0
    processes: int = 0

    @property
    def total(self) -> int:
        return self.workers + self.children


@dataclass(slots=True)
class World:
    """One site for the whole suite. Control and beat go on from fault to fault."""

    installation: Installation
    site: Site
    relay: RecordingRelay
    chance: random.Random
    control: Process
    beat: Process
    kills: Kills = field(default_factory=Kills)
    #: Those for mail, each with the number of its processes.
    workers: dict[Process, int] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    #: What other relays accepted.
    elsewhere: list[Accepted] = field(default_factory=list)
    #: Further windows that a fault may leave uncertain, its kills aside, and single messages.
    other_windows: int = 0
    other_messages: int = 0

    def begin(self) -> None:
        """Before each fault."""
        self.kills, self.runs = Kills(), []
        self.other_windows = self.other_messages = 0

    def end(self, *, well: bool) -> None:
        """After each fault: nothing of it may disturb the next."""
        self.relay.behave()
        if not well:
            self.want_workers(0)
        for run in Run.objects.exclude(state__in=RUN_FINAL):
            cancel_run(run.pk, by=None, now=timezone.now())

    @property
    def accepted(self) -> list[Accepted]:
        """By any relay in any fault, in order."""
        return sorted(self.relay.accepted + self.elsewhere, key=lambda entry: entry.at)

    @property
    def may_be_uncertain(self) -> int:
        return WINDOW * (self.kills.processes + self.other_windows) + self.other_messages

    def want_workers(self, number: int, *, processes: int = PROCESSES) -> None:
        """Have so many workers for mail, those of the fault before if they will do."""
        for worker, has in list(self.workers.items()):
            if has != processes or len(self.workers) > number:
                self.site.kill(worker)
                del self.workers[worker]
        while len(self.workers) < number:
            self.workers[self.site.start_worker(processes=processes)] = processes

    @property
    def worker(self) -> Process:
        """The only one."""
        (worker,) = self.workers
        return worker

    def processes(self) -> list[int]:
        """The pids of those that send."""
        return [pid for worker in self.workers for pid in children(worker.pid)]

    def kill_worker(self, worker: Process) -> None:
        """kill -9 of the worker and everything it started."""
        self.kills.workers += 1
        self.kills.processes += self.workers.pop(worker)
        self.site.kill(worker)

    def kill_child(self, pid: int) -> None:
        """kill -9 of one of a worker's processes; the worker starts another."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills.children += 1
            self.kills.processes += 1

    def revive_workers(self) -> None:
        """Start anew whoever ended by itself, as a supervisor would.

        Celery gives up where its first processes die before it is up. The others die with it.
        """
        for worker in [worker for worker in self.workers if worker.poll() is not None]:
            processes = self.workers.pop(worker)
            self.kills.processes += processes
            self.site.kill(worker)
            self.workers[self.site.start_worker(processes=processes)] = processes

    def restart_control(self) -> None:
        self.site.kill(self.control)
        self.control = self.site.start_control()

    def restart_beat(self) -> None:
        self.site.kill(self.beat)
        self.beat = self.site.start_beat()

    def start_run(self, recipients: int = 0, **fields: Any) -> Run:
        """A mailing to so many people nobody else writes to, sent now."""
        if recipients:
            fields["lists"] = [make_people(recipients)]
        mailing = make_mailing(relay=fields.pop("relay", None) or make_relay(), **fields)
        return self.send_now(mailing)

    def send_now(self, mailing: Mailing) -> Run:
        now = timezone.now()
        with transaction.atomic():
            run = start_now(mailing, moment=now, trigger=Run.Trigger.COMMAND, by=None, now=now)
            tasks.ring_after_commit()
        self.runs.append(run)
        return run

    def wait_state(self, run: Run, *states: str, seconds: float = 90) -> None:
        def is_there() -> bool:
            run.refresh_from_db()
            return run.state in states

        what = f"run {run.pk} is {' or '.join(states)}"
        try:
            wait_until(is_there, what=what, seconds=seconds)
        except AssertionError as error:
            words = f"{error}; it is {run.state} {run.by_state} ({run.reason})"
            raise AssertionError(words) from None

    def finish(self, *runs: Run) -> None:
        for run in runs:
            self.wait_state(run, "finished")

    def wait_at_rest(self, run: Run) -> None:
        """Until no worker holds anything of a run that was paused or cancelled."""
        held = Batch.objects.filter(run=run, state="sending")
        wait_until(lambda: not held.exists(), what="no batch is in a worker's hands")

    def wait_ticks(self, number: int) -> None:
        """Until so many more ticks were done."""
        goal = self._ticks() + number
        wait_until(lambda: self._ticks() >= goal, what=f"{number} ticks")

    def _ticks(self) -> int:
        return self.site.log_of(self.control).count("INFO celery.app.trace Task mailer.tick")

    def may_still_arrive(self, run: Run) -> set[str]:
        """Whose message may be accepted though none may leave any more: those that were accepted
        by now, or lie below a mark. Waits for windows that are being opened."""
        with transaction.atomic():
            held = list(Batch.objects.select_for_update().filter(run=run, state="sending"))
            below = [
                address
                for batch in held
                for address in Delivery.objects.filter(
                    run=run, seq__gte=batch.first_seq, seq__lt=batch.mark, state="pending"
                ).values_list("address", flat=True)
            ]
        return {entry.address for entry in self.relay.accepted} | set(below)


@contextmanager
def open_world(installation: Installation, *, seed: int) -> Iterator[World]:
    folder: Path = installation.folder
    environment = {
        "MAILER_LEASE_SECONDS": str(LEASE),
        "MAILER_WINDOW_SIZE": str(WINDOW),
        "MAILER_SMTP_DOT_TIMEOUT": str(DOT_PATIENCE),
        "MAILER_SMTP_TIMEOUT": str(PATIENCE),
        "ADMIN_EXT_HEARTBEAT_SECONDS": "0.5",
        "QUEUE_PREFIX": installation.broker.prefix,
    }
    broker_url = installation.broker.url
    if installation.database_cable and installation.broker_cable:
        environment["DATABASE_URL"] = installation.database_cable.url
        broker_url = installation.broker_cable.url
    with RecordingRelay(folder / "accepted.jsonl") as relay:
        site = Site(folder, broker_url=broker_url, relay_url=relay.url, **environment)
        try:
            control, beat = site.start_control(), site.start_beat()
            yield World(installation, site, relay, random.Random(seed), control, beat)
        finally:
            site.stop_all()


def make_people(number: int, *, domain: str = "a.example", **fields: Any) -> MailingList:
    """A list of so many new people, written at once."""
    key = next(_numbers)
    people = MailingList.objects.create(name=f"People {key}", slug=f"people-{key}")
    rows = [Recipient(name=f"Person {key}.{n}", **fields) for n in range(number)]
    for n, row in enumerate(rows):
        row.set_address(f"person{key}.{n}@{domain}")
    made = Recipient.objects.bulk_create(rows, batch_size=2000)
    Subscription.objects.bulk_create(
        (Subscription(list=people, recipient=row) for row in made), batch_size=2000
    )
    return people


def people_of(run: Run) -> list[str]:
    """The addresses of a run's lists, in the order in which they are written to."""
    people = Recipient.objects.filter(subscriptions__list__in=run.mailing.lists.all())
    return list(people.order_by("id").values_list("address", flat=True))
