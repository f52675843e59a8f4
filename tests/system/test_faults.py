"""What may go wrong with servers between the processes: PostgreSQL and a broker that is one."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from admin_ext.models import TaskAttempt
from mailer.models import Batch, Delivery, Run
from mailer.tests.factories import make_mailing

from .brokers import Broker
from .inbox import Inbox
from .processes import Site, wait_until
from .servers import Cable, OwnRabbitMQ, OwnServer, own_server
from .test_main_job import check, start, wait_finished

pytestmark = [pytest.mark.system, pytest.mark.servers, pytest.mark.timeout(240)]

WINDOW = 20


@pytest.fixture
def own_broker(broker: Broker, tmp_path: Path) -> Iterator[OwnServer]:
    server = own_server(urlsplit(broker.url).scheme, tmp_path / "server")
    yield server
    server.close()


def test_a_broker_that_dies_and_comes_back(site: Site, inbox: Inbox, own_broker: OwnServer) -> None:
    site.environment["BROKER_URL"] = own_broker.url
    mailing = make_mailing(recipients=800)
    slow = threading.Event()
    inbox.before_reply = lambda _address: slow.wait(0.01) and None
    site.start_control(), site.start_worker(), site.start_beat()
    run = start(site, mailing)
    wait_until(lambda: len(inbox.accepted) > 60, what="the run is under way")
    own_broker.kill()
    with_hands_full = len(inbox.accepted)
    wait_until(
        lambda: len(inbox.accepted) > with_hands_full, what="batches in hand go on without it"
    )
    asked = start(site, make_mailing(recipients=10))  # nobody can be told, and nothing is lost
    assert asked.state == "scheduled"
    own_broker.start()
    wait_finished(run, site=site)
    wait_finished(asked, site=site)
    assert (run.sent, asked.sent) == (800, 10)
    check_all(inbox, run, asked)


@pytest.mark.one_server
def test_a_broker_that_takes_nothing_and_says_nothing(
    site: Site, inbox: Inbox, own_broker: OwnServer
) -> None:
    """RabbitMQ short of memory: whoever asks for a run gets an answer all the same."""
    assert isinstance(own_broker, OwnRabbitMQ)
    site.environment["BROKER_URL"] = own_broker.url
    mailing = make_mailing(recipients=30)
    own_broker.limit_memory(0.00001)
    run = start(site, mailing)  # fails after two minutes, if it hangs
    assert run.state == "scheduled"
    own_broker.limit_memory(0.6)
    site.start_control(), site.start_worker(), site.start_beat()
    wait_finished(run, site=site)
    assert run.sent == 30


@pytest.mark.one_server
@pytest.mark.parametrize("seconds", [1, 5], ids=["within the lease", "past the lease"])
def test_a_database_that_is_gone_in_the_middle_of_a_window(
    site: Site, inbox: Inbox, seconds: float
) -> None:
    """What was accepted meanwhile is recorded once it is back, or uncertain: never sent again."""
    site.environment["MAILER_LEASE_SECONDS"] = "3"
    with Cable(site.environment["DATABASE_URL"]) as cable:
        site.environment["DATABASE_URL"] = cable.url
        mailing = make_mailing(recipients=300)
        timers: list[threading.Timer] = []

        def cut_in_the_middle(_address: str) -> None:
            if len(inbox.accepted) == 50:
                cable.cut()
                timers.append(threading.Timer(seconds, cable.mend))
                timers[0].start()

        inbox.before_reply = cut_in_the_middle
        run = start(site, mailing)
        site.start_control(), site.start_worker(), site.start_beat()
        wait_until(lambda: timers, what="the run is under way")
        wait_finished(run, site=site)
    assert run.sent + run.uncertain == 300
    assert run.uncertain <= (0 if seconds < 3 else 2 * WINDOW)
    check_all(inbox, run)


def test_a_worker_that_was_frozen_past_its_lease_changes_nothing(site: Site, inbox: Inbox) -> None:
    """I6, and the rest of its window is never sent: by it, or by another."""
    mailing = make_mailing(recipients=300)
    frozen = threading.Event()
    sleeper = site.start_worker(processes=1)

    def freeze(_address: str) -> None:
        if len(inbox.accepted) == 50:
            os.killpg(sleeper.pid, signal.SIGSTOP)
            frozen.set()

    inbox.before_reply = freeze
    site.start_control(), site.start_beat()
    run = start(site, mailing)
    wait_until(frozen.is_set, what="the run is under way")
    batch = Batch.objects.get(run=run, state="sending")
    site.start_worker()
    wait_finished(run, site=site)
    assert 0 < run.uncertain <= WINDOW
    before = list(Delivery.objects.filter(run=run).order_by("pk").values())
    accepted = len(inbox.accepted)

    os.killpg(sleeper.pid, signal.SIGCONT)
    attempt = TaskAttempt.objects.filter(task_id=batch.task_id, worker__startswith="mail1@")
    wait_until(
        lambda: attempt.filter(state="succeeded").exists(), what="the frozen task came to its end"
    )
    assert list(Delivery.objects.filter(run=run).order_by("pk").values()) == before
    assert len(inbox.accepted) == accepted
    check_all(inbox, run)


def check_all(inbox: Inbox, *runs: Run) -> None:
    """The invariants of each run against its own share of what was accepted."""
    whole = inbox.accepted
    for run in runs:
        people = set(Delivery.objects.filter(run=run).values_list("address", flat=True))
        inbox.accepted = [entry for entry in whole if entry[0] in people]
        check(run, inbox)
    inbox.accepted = whole
