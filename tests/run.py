"""All tests, suite by suite; the last line says what was not run, and for want of what.

With CI=true nothing may be left out: a server or a browser that is missing, or one skipped test, is
a failure.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit, urlunsplit
from xml.etree import ElementTree as ET

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a script

from tests.rabbitmq import forget_delayed_queues, has_delayed_queues

ROOT = Path(__file__).resolve().parent.parent
ADDRESSES = {
    "PostgreSQL": os.environ.get(
        "TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres"
    ),
    "Redis": os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/15"),
    "RabbitMQ": os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//"),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Set for a site that runs on this machine; the tests choose theirs.
OWN = {
    "DJANGO_SETTINGS_MODULE", "DATABASE_URL", "BROKER_URL", "RELAY_URL", "MAILROOM_VAR",
    "QUEUE_PREFIX",
}  # fmt: skip
NO_TESTS = 5  # pytest's exit code


@dataclass(frozen=True, slots=True)
class Suite:
    """One run of pytest: what it selects, and what it cannot do without."""

    name: str
    marked: str
    paths: tuple[str, ...] = ()
    processes: int = 2  # more for one that mostly waits
    needs: frozenset[str] = frozenset()
    environment: dict[str, str] = field(default_factory=dict)


def main() -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    missing = find_missing()
    database = f"mailroom_{os.getpid()}_{secrets.token_hex(3)}"
    suites = make_suites(database)
    rabbitmq = "" if "RabbitMQ" in missing else ADDRESSES["RabbitMQ"]
    shared_before = bool(rabbitmq) and has_delayed_queues(rabbitmq)
    failed: list[str] = []
    skipped: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="mailroom-tests-") as folder:
        try:
            for suite in suites:
                if suite.needs & missing.keys():
                    continue
                report = Path(folder, "report.xml")
                if run_suite(suite, folder=Path(folder), report=report) != 0:
                    failed.append(suite.name)
                for reason in read_skips(report):
                    skipped[reason] = skipped.get(reason, 0) + 1
        except KeyboardInterrupt:
            print("Interrupted.")
            return 130
        finally:
            if "PostgreSQL" not in missing:
                drop_databases(f"test_{database}")
            if rabbitmq and not shared_before:
                forget_delayed_queues(rabbitmq)
    not_run = [f"{what} ({why})" for what, why in missing.items()]
    not_run += [f"{reason} ({count})" for reason, count in skipped.items()]
    print(closing_line(failed, not_run))
    return 1 if failed or (not_run and os.environ.get("CI") == "true") else 0


def make_suites(database: str) -> list[Suite]:
    """In the order in which they run; what fails soonest comes first."""
    postgres = {"DATABASE_URL": on_postgres(database)}
    return [
        Suite("SQLite", "not system and not browser"),
        Suite(
            "PostgreSQL",
            "database and not browser",
            processes=3,
            needs=frozenset({"PostgreSQL"}),
            environment=postgres,
        ),
        Suite("system", "system and not servers", processes=3),
        *(
            Suite(
                f"system on PostgreSQL and {broker}",
                marked,
                paths=("tests/system",),
                processes=3,
                needs=frozenset({"PostgreSQL", broker}),
                environment=postgres | {"TEST_BROKER_URL": ADDRESSES[broker]},
            )
            for broker, marked in (
                ("RabbitMQ", "system and not embedded"),
                ("Redis", "system and not embedded and not one_server"),
            )
        ),
        Suite("browser", "browser", needs=frozenset({"a browser"})),
    ]


def closing_line(failed: list[str], not_run: list[str]) -> str:
    words = f"Not run: {'; '.join(not_run)}." if not_run else "Everything was run."
    return f"Failed: {', '.join(failed)}. {words}" if failed else words


def find_missing() -> dict[str, str]:
    """What the tests want and this machine lacks, each with where it was looked for."""
    missing = {}
    for name, address in ADDRESSES.items():
        parts = urlsplit(address)
        try:
            socket.create_connection((parts.hostname or "", parts.port or 0), timeout=3).close()
        except OSError:
            missing[name] = f"no server at {parts.hostname}:{parts.port}"
    if not any(shutil.which(browser) for browser in BROWSERS):
        missing["a browser"] = "no chromium"
    return missing


def run_suite(suite: Suite, *, folder: Path, report: Path) -> int:
    """Run one suite to its end; 0 when it passed. A suite without a single test has failed."""
    print(f"\n--- {suite.name}: pytest -m '{suite.marked}'", flush=True)
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-m", suite.marked, f"--junitxml={report}"]
    command += suite.paths
    if suite.processes > 1:
        command += ["-n", str(suite.processes), "--dist", "worksteal"]
    environment = {name: value for name, value in os.environ.items() if name not in OWN}
    # What a test leaves in the temporary folder goes with it.
    environment |= suite.environment | {"TMPDIR": str(folder)}
    with subprocess.Popen(command, cwd=ROOT, env=environment) as tests:
        try:
            code = tests.wait()
        except KeyboardInterrupt:
            # Ctrl-C reached pytest as well; a SIGTERM to this process did not.
            tests.send_signal(signal.SIGINT)
            try:
                tests.wait(30)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                tests.kill()
            raise
    if code == NO_TESTS:
        print(f"{suite.name}: there is not one test of this kind.")
    return code


def read_skips(report: Path) -> list[str]:
    """The reasons why tests were skipped, one for each; an expected failure is none."""
    if not report.exists():
        return []
    found = ET.parse(report).iter("skipped")
    return [skip.get("message", "") for skip in found if skip.get("type") == "pytest.skip"]


def on_postgres(database: str) -> str:
    return urlunsplit(urlsplit(ADDRESSES["PostgreSQL"])._replace(path=f"/{database}"))


def create_database(name: str) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(ADDRESSES["PostgreSQL"], autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def drop_databases(prefix: str) -> None:
    """Drop what a test run that was cut short left behind; names begin with our own prefix."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(ADDRESSES["PostgreSQL"], autocommit=True) as connection:
        ours = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
        for (name,) in connection.execute(ours, [prefix]).fetchall():
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(name)))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
