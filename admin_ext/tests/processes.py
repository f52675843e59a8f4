"""Real workers and schedulers for the tests that need them, ended whatever happens."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@contextmanager
def celery(
    environment: dict[str, str], log: Path, *arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`celery -A admin_ext.tests.celery_app …` in a group of its own."""
    command = [sys.executable, "-m", "celery", "-A", "admin_ext.tests.celery_app", *arguments]
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, env=environment, cwd=REPOSITORY, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes], signum: int = signal.SIGKILL) -> None:
    """The whole group at once, as an out-of-memory killer or a power cut would."""
    try:
        os.killpg(process.pid, signum)
    except ProcessLookupError:
        return
    process.wait(timeout=20)


def wait_until(
    condition: Callable[[], bool], *, seconds: float = 20, log: Path | None = None
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, log.read_text() if log else "waited in vain"
        time.sleep(0.05)
