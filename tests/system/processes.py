"""The site's own processes, started as a person would start them, on the test's database."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from django.db import connection

from .inbox import free_port

ROOT = Path(__file__).resolve().parent.parent.parent


def wait_until(
    happened: Callable[[], object], *, what: str, seconds: float = 60, every: float = 0.05
) -> None:
    """Look until it is so; fails with `what` was waited for."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(every)


class Site:
    """Starts workers, beat and commands with one environment; stops what it started."""

    def __init__(
        self, folder: Path, *, broker_url: str, relay_url: str, **environment: str
    ) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[bytes]] = []
        self._logs: dict[int, Path] = {}
        self._names = 0
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "site_config.settings.test",
            "DATABASE_URL": _database_url(),
            "BROKER_URL": broker_url,
            "RELAY_URL": relay_url,
            "QUEUE_PREFIX": "",
            "LOG_LEVEL": "INFO",
            "MAILER_LEASE_SECONDS": "2",
            "MAILER_TICK_SECONDS": "1",
            "MAILER_WINDOW_SIZE": "20",
            "MAILER_BATCH_SIZE": "100",
            "MAILER_RETRY_SECONDS": "1",
            "MAILER_RELAY_PAUSE_SECONDS": "1",
            "MAILER_TEST_RETRY_SECONDS": "1",
            "ADMIN_EXT_HEARTBEAT_SECONDS": "1",
            "ADMIN_EXT_BEAT_LEASE_SECONDS": "3",
            **environment,
        }

    def start_worker(self, *, processes: int = 2) -> subprocess.Popen[bytes]:
        return self._start_worker("mail", processes)

    def start_control(self) -> subprocess.Popen[bytes]:
        return self._start_worker("control", 1)

    def start_beat(self) -> subprocess.Popen[bytes]:
        return self._celery("beat", "--pidfile=")

    def start_web(self) -> str:
        """Starts the web server and waits until it answers; its address."""
        port = free_port()
        self.environment["BASE_URL"] = address = f"http://127.0.0.1:{port}"
        self._start(
            "web",
            "-m",
            "gunicorn",
            "site_config.wsgi:application",
            "--threads",
            "4",
            "--bind",
            f"127.0.0.1:{port}",
        )
        wait_until(lambda: _answers(address), what="the web server answers")
        return address

    def start_flower(self) -> subprocess.Popen[bytes]:
        """Where and with which login is said in the environment: FLOWER_PORT, FLOWER_BASIC_AUTH."""
        return self._start("flower", "-m", "site_config.flower")

    def manage(self, *arguments: str) -> str:
        """Run a management command; what it printed. Raises AssertionError with its words."""
        return self.run("manage.py", *arguments)

    def celery(self, *arguments: str) -> str:
        """Run a command of Celery's."""
        return self.run("-m", "celery", "-A", "site_config", *arguments)

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """kill -9 of a worker and its children."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        self._running.remove(process)

    def stop(self, process: subprocess.Popen[bytes], *, seconds: float = 40) -> None:
        """SIGTERM to the main process, as systemd or a person would."""
        process.terminate()
        process.wait(seconds)
        self._running.remove(process)

    def stop_all(self) -> None:
        for process in list(self._running):
            self.kill(process)

    def log_of(self, process: subprocess.Popen[bytes]) -> str:
        return self._logs[process.pid].read_text()

    def log(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def _start_worker(self, queue: str, processes: int) -> subprocess.Popen[bytes]:
        self._names += 1  # one that was killed keeps its name in the broker for a while
        name, queue = f"{queue}{self._names}@%h", self.environment["QUEUE_PREFIX"] + queue
        return self._celery("worker", "-Q", queue, "-c", str(processes), "-n", name)

    def _celery(self, *arguments: str) -> subprocess.Popen[bytes]:
        return self._start(
            arguments[0], "-m", "celery", "-A", "site_config", *arguments, "-l", "INFO"
        )

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = self.folder / f"{len(list(self.folder.glob('*.log')))}-{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append(process)
        self._logs[process.pid] = log
        return process


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/admin/login/", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def children(parent: int) -> list[int]:
    """The pids of what a process started and what still runs: of a worker, its pool."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,stat=", "--ppid", str(parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [int(pid) for pid, stat in rows if not stat.startswith("Z")]


def _database_url() -> str:
    """The database this test uses, as the processes are told of it."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    login = f"{settings['USER']}:{settings['PASSWORD']}@" if settings["USER"] else ""
    return f"postgres://{login}{settings['HOST']}:{settings['PORT'] or 5432}/{settings['NAME']}"
