"""What may go wrong with servers between the processes: PostgreSQL and a broker that is one."""

import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mailer.models import Delivery, Run
from mailer.tests.factories import make_mailing

from .brokers import Broker
from .inbox import Inbox
from .processes import Site, wait_until
from .servers import OwnRabbitMQ, OwnServer, own_server
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


def check_all(inbox: Inbox, *runs: Run) -> None:
    """The invariants of each run against its own share of what was accepted."""
    whole = inbox.accepted
    for run in runs:
        people = set(Delivery.objects.filter(run=run).values_list("address", flat=True))
        inbox.accepted = [entry for entry in whole if entry[0] in people]
        check(run, inbox)
    inbox.accepted = whole
