"""A running site for each test: its own broker and inbox, the test's database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command

from .brokers import Broker, open_broker
from .inbox import Inbox
from .processes import Site


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as inbox:
        yield inbox


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = open_broker(tmp_path)
    yield broker
    broker.close()


@pytest.fixture
def site(transactional_db: None, tmp_path: Path, inbox: Inbox, broker: Broker) -> Iterator[Site]:
    site = Site(tmp_path, broker_url=broker.url, relay_url=inbox.url, QUEUE_PREFIX=broker.prefix)
    yield site
    site.stop_all()


@pytest.fixture(autouse=True)
def _tables_without_wal_leftovers(transactional_db: None) -> None:
    """The flush between tests also forgets content types; workers look them up again."""
    call_command("migrate", verbosity=0)
