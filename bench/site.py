"""The real thing: a database, a broker and the processes of the README, with default settings."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from tests.run import ADDRESSES, create_database, drop_databases, on_postgres
from tests.system.brokers import RabbitMQ

ROOT = Path(__file__).resolve().parent.parent
Kind = Literal["servers", "embedded"]


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

    def report(self, run: int) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.run("manage.py", "run_report", str(run), "--json"))
        return report

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "site_config", *arguments, "-l", "INFO"],
                cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._running.append(process)
        return process

    def start_all(self, *, processes: int) -> None:
        prefix = self.environment["QUEUE_PREFIX"]
        self.start("control", "worker", "-Q", f"{prefix}control", "-c", "1", "-n", "control@%h")
        self.start("mail", "worker", "-Q", f"{prefix}mail", "-c", str(processes), "-n", "mail@%h")
        self.start("beat", "beat", "--pidfile=")

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
    """An empty, migrated installation on PostgreSQL and RabbitMQ, or on SQLite and files."""
    name = f"mailroom_bench_{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="mailroom-bench-") as folder:
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "site_config.settings.local",
            "MAILROOM_VAR": folder,
            "RELAY_URL": relay,
            "QUEUE_PREFIX": "",
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "BROKER_URL": f"filesystem://{folder}/broker",
        }
        broker = RabbitMQ(ADDRESSES["RabbitMQ"]) if kind == "servers" else None
        if broker is not None:
            create_database(name)
            environment |= {
                "DATABASE_URL": on_postgres(name),
                "BROKER_URL": broker.url,
                "QUEUE_PREFIX": broker.prefix,
            }
        made = Site(Path(folder), environment)
        try:
            made.run("manage.py", "migrate", "--no-input")
            yield made
        finally:
            made.stop()
            if broker is not None:
                broker.close()
                drop_databases(name)
