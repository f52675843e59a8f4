"""The real thing: a database, a broker and the processes of the README, with default settings."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import psycopg

from bench.postfix import MissingToolError
from tests.rabbitmq import forget_delayed_queues, has_delayed_queues
from tests.run import ADDRESSES, create_database, drop_databases, find_missing, on_postgres
from tests.system.brokers import RabbitMQ

ROOT = Path(__file__).resolve().parent.parent
Kind = Literal["servers", "embedded"]
# How to get a server, and which variable says where one is.
HOW = {
    "PostgreSQL": ("postgresql", "TEST_POSTGRES_URL"),
    "RabbitMQ": ("rabbitmq-server", "TEST_RABBITMQ_URL"),
}


class Site:
    """Commands and processes in one environment."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self._running: list[subprocess.Popen[bytes]] = []

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=self.environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def start_mailing(self, name: str) -> int:
        """The run's id."""
        return int(self.run("manage.py", "start_mailing", name))

    def finish(
        self, run: int, *, look: Callable[[], object] = lambda: None, every: float = 0.25
    ) -> dict[str, Any]:
        """Wait until a run is through, looking at something else now and then; its report.

        Raises RuntimeError unless every message was sent.
        """
        state = "scheduled"
        # A command would start Django each time, on the processors that are being measured.
        with closing(self.connect()) as connection:
            while state in {"scheduled", "preparing", "sending"}:
                time.sleep(every)
                look()
                asked = connection.execute(f"SELECT state FROM mailer_run WHERE id = {run}")
                (state,) = asked.fetchone() or ("missing",)
        report: dict[str, Any] = json.loads(self.run("manage.py", "run_report", str(run), "--json"))
        if report["state"] != "finished" or report["by_state"]["sent"] != report["total"]:
            raise RuntimeError(f"run {run}: {report}")
        return report

    def connect(self) -> psycopg.Connection[Any] | sqlite3.Connection:
        """To the site's database, each statement in a transaction of its own."""
        url = self.environment["DATABASE_URL"]
        if url.startswith("sqlite:"):
            return sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)
        return psycopg.connect(url, autocommit=True)

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "site_config", *arguments, "-l", "INFO"],
                cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._running.append(process)
        return process

    def start_all(self, *, processes: int) -> subprocess.Popen[bytes]:
        """Both workers and beat; the one that sends, its pool of so many processes."""
        queue, pool = self.environment["QUEUE_PREFIX"] + "{}", str(processes)
        self.start(
            "control", "worker", "-Q", queue.format("control"), "-c", "1", "-n", "control@%h"
        )
        self.start("beat", "beat", "--pidfile=")
        return self.start("mail", "worker", "-Q", queue.format("mail"), "-c", pool, "-n", "mail@%h")

    def stop(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def site(kind: Kind, *, relay: str) -> Iterator[Site]:
    """An empty, migrated installation on PostgreSQL and RabbitMQ, or on SQLite and files.

    Raises MissingToolError.
    """
    with tempfile.TemporaryDirectory(prefix="mailroom-bench-") as folder:
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "site_config.settings.local",
            "MAILROOM_VAR": folder,
            "RELAY_URL": relay,
            "QUEUE_PREFIX": "",
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "BROKER_URL": f"filesystem://{folder}/broker",
        }
        own: AbstractContextManager[dict[str, str]] = (
            servers() if kind == "servers" else nullcontext({})
        )
        with own as addresses:
            made = Site(Path(folder), environment | addresses)
            try:
                made.run("manage.py", "migrate", "--no-input")
                yield made
            finally:
                made.stop()


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """A database and queues of its own on the servers as found; where, as the settings say it."""
    with database() as url:
        broker = RabbitMQ(_find("RabbitMQ"))
        found_delayed = has_delayed_queues(broker.url)
        try:
            yield {"DATABASE_URL": url, "BROKER_URL": broker.url, "QUEUE_PREFIX": broker.prefix}
        finally:
            broker.close()
            if not found_delayed:
                forget_delayed_queues(broker.url)


@contextmanager
def database() -> Iterator[str]:
    """The URL of an empty database on PostgreSQL. Raises MissingToolError."""
    name = f"mailroom_bench_{secrets.token_hex(4)}"
    _find("PostgreSQL")
    try:
        create_database(name)
        yield on_postgres(name)
    finally:
        drop_databases(name)


def _find(server: str) -> str:
    """Where a server is. Raises MissingToolError."""
    missing = find_missing()
    if server in missing:
        package, variable = HOW[server]
        raise MissingToolError(
            f"{server} is missing ({missing[server]}): "
            f"apt-get install --no-install-recommends {package}, or say where it is: {variable}"
        )
    return ADDRESSES[server]
