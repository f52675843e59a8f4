"""Several of everything on one database: workers, and schedulers killed while they fire."""

import itertools
import random
import re
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from admin_ext.models import Heartbeat, Lease
from mailer.models import Batch, Mailing, MailingList, Run
from mailer.tests.factories import make_list, make_mailing, make_relay

from .brokers import Broker
from .inbox import Inbox
from .processes import Site, wait_until
from .test_faults import check_all
from .test_main_job import start, wait_finished

pytestmark = [
    pytest.mark.system,
    pytest.mark.servers,
    pytest.mark.one_server,
    pytest.mark.timeout(300),
]
PROCESSES = 4


def test_the_first_worker_of_a_new_site_misses_nothing(site: Site) -> None:
    worker = site.start_worker()
    wait_until(lambda: " ready." in site.log_of(worker), what="the worker is up")
    log = site.log_of(worker)
    assert not [line for line in log.splitlines() if "CRITICAL" in line or "ERROR" in line]


def test_two_workers_share_two_runs_and_the_tick_is_never_late(
    site: Site, inbox: Inbox, broker: Broker
) -> None:
    site.environment["MAILER_BATCH_SIZE"] = "40"
    site.environment["MAILER_LEASE_SECONDS"] = "15"  # nothing is lost here: no bell rings twice
    relay = make_relay(connections=2 * PROCESSES)
    mailings = [make_mailing(recipients=800, relay=relay) for _ in range(2)]
    control = site.start_control()
    site.start_worker(), site.start_worker()
    site.start_beat()
    wait_until(lambda: Heartbeat.objects.workers().count() == 3, what="all workers are up")
    wait_until(lambda: bool(tick_times(site.log_of(control))), what="it ticks")
    most: list[int] = []
    waiting: list[int] = []
    done = threading.Event()

    def look() -> None:
        in_flight = Batch.objects.filter(rung_at__isnull=False).exclude(state="done")
        try:
            while not done.wait(0.02):
                most.append(in_flight.count())
                waiting.append(broker.length("mail"))
        finally:
            connection.close()

    looking = threading.Thread(target=look)
    looking.start()
    try:
        runs = [start(site, mailing) for mailing in mailings]
        for run in runs:
            wait_finished(run, site=site)
    finally:
        done.set()
        looking.join()
    assert [(run.sent, run.uncertain) for run in runs] == [(800, 0), (800, 0)]
    check_all(inbox, *runs)
    assert PROCESSES < max(most) <= 2 * PROCESSES
    assert max(waiting) <= 2 * PROCESSES
    workers = Counter(Batch.objects.values_list("worker", flat=True))
    assert len(workers) == 2  # both had their share
    assert min(workers.values()) >= 5

    # One tick a second was asked for, by a beat that may itself be a moment late.
    ticks = tick_times(site.log_of(control))
    began = min(run.started_at for run in runs)
    ended = max(run.finished_at for run in runs)
    busy = [began, *(at for at in ticks if began < at < ended), ended]
    gaps = [later - earlier for earlier, later in itertools.pairwise(busy)]
    assert max(gaps) < timedelta(seconds=4)


def test_of_several_schedulers_the_leader_is_killed_twenty_times(site: Site, inbox: Inbox) -> None:
    """No slot is missed, none has two runs (I8), and no wake-up was sent twice."""
    site.environment["ADMIN_EXT_BEAT_LEASE_SECONDS"] = "1"
    site.environment["ADMIN_EXT_HEARTBEAT_SECONDS"] = "0.5"
    chance = random.Random()
    people = make_list(recipients=1)
    site.start_control(), site.start_worker(processes=1)
    beats = [site.start_beat() for _ in range(3)]
    mailings: list[Mailing] = []
    for _ in range(20):
        wait_until(
            lambda: {beat.pid for beat in beats} <= beating(), what="three of them", seconds=30
        )
        at = timezone.now() + timedelta(seconds=1.5)
        mailings.append(make_once(people, at=at))
        to_kill = at + timedelta(seconds=chance.uniform(-0.3, 0.5))
        wait_until(lambda when=to_kill: timezone.now() >= when, what="its time", every=0.005)
        pid = leader_pid()
        leader = next(beat for beat in beats if beat.pid == pid)
        site.kill(leader)
        beats.remove(leader)
        beats.append(site.start_beat())
        wait_until(lambda was=pid: leader_pid() not in {0, was}, what="another leads")
    finished = Run.objects.filter(state="finished")
    wait_until(lambda: finished.count() >= 20, what="every mailing went out")

    for mailing in mailings:
        assert [run.slot for run in mailing.runs.all()] == [mailing.schedule_anchor]
    assert len(inbox.accepted) == 20
    wake_ups = re.findall(r"beat: sending .*\(mailer.wake_mailing\)", site.log())
    fired = Counter(wake_ups)
    assert len(fired) >= 5, "the tick was there first each time: this says little of beat"
    assert max(fired.values()) == 1


def make_once(people: MailingList, *, at: datetime) -> Mailing:
    now = timezone.now()
    return make_mailing(
        lists=[people], enabled=True, schedule_kind="once", schedule_anchor=at, now=now
    )


def beating() -> set[int]:
    return set(Heartbeat.objects.beats().values_list("pid", flat=True))


def leader_pid() -> int:
    lease = Lease.objects.first()
    return int(lease.holder.split(":")[1]) if lease else 0


def tick_times(log: str) -> list[datetime]:
    """When the tick was done, as the control worker says."""
    line = r"(?m)^(\S+ \S+) INFO celery.app.trace Task mailer.tick\S+ succeeded"
    return [
        datetime.strptime(at, "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC)
        for at in re.findall(line, log)
    ]
