"""Where the suite runs: a database and a broker of its own, and this process told of them."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from faults.cable import Cable
from tests.rabbitmq import forget_delayed_queues, has_delayed_queues
from tests.run import ADDRESSES, create_database, drop_databases, find_missing, on_postgres
from tests.system.brokers import Broker, Files, RabbitMQ
from tests.system.processes import ROOT

SERVERS = ("PostgreSQL", "RabbitMQ")


@dataclass(frozen=True, slots=True)
class Installation:
    """An empty, migrated site. The cables lead to its servers; there are none without servers."""

    folder: Path
    broker: Broker
    database_cable: Cable | None = None
    broker_cable: Cable | None = None

    @property
    def words(self) -> str:
        return "SQLite and files" if self.database_cable is None else "PostgreSQL and RabbitMQ"


def find_absent() -> list[str]:
    """Which of the servers do not answer, each with where it was looked for."""
    missing = find_missing()
    return [f"{name} ({missing[name]})" for name in SERVERS if name in missing]


@contextmanager
def installation(folder: Path) -> Iterator[Installation]:
    """On PostgreSQL and RabbitMQ where both are found, else on SQLite and files."""
    with ExitStack() as stack:
        made = _embedded(folder) if find_absent() else stack.enter_context(_on_servers(folder))
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "site_config.settings.test",
            "BROKER_URL": made.broker.url,
            "QUEUE_PREFIX": made.broker.prefix,
        }
        migrate = [sys.executable, "manage.py", "migrate", "--no-input", "--verbosity=0"]
        subprocess.run(migrate, cwd=ROOT, check=True)
        yield made


def _embedded(folder: Path) -> Installation:
    os.environ["DATABASE_URL"] = f"sqlite:///{folder / 'db.sqlite3'}"
    return Installation(folder, Files(f"filesystem://{folder / 'broker'}"))


@contextmanager
def _on_servers(folder: Path) -> Iterator[Installation]:
    name = f"mailroom_faults_{secrets.token_hex(4)}"
    os.environ["DATABASE_URL"] = database = on_postgres(name)
    broker = RabbitMQ(ADDRESSES["RabbitMQ"])
    shared_before = has_delayed_queues(broker.url)
    create_database(name)
    try:
        with Cable(database) as database_cable, Cable(broker.url) as broker_cable:
            yield Installation(folder, broker, database_cable, broker_cable)
    finally:
        broker.close()
        if not shared_before:
            forget_delayed_queues(broker.url)
        drop_databases(name)
