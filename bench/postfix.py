"""The limit and the relay: Postfix's smtp-source and smtp-sink."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.inbox import free_port
from tests.system.processes import wait_until

MESSAGE_OCTETS = 11_000
SESSIONS = 5


class MissingToolError(Exception):
    """What has to be installed, and how."""


def find(name: str) -> str:
    """The path of one of Postfix's programs. Raises MissingToolError."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise MissingToolError(
            f"{name} is missing: apt-get install --no-install-recommends postfix"
        )
    return found


@contextmanager
def sink() -> Iterator[int]:
    """smtp-sink on a free port; it takes everything and keeps nothing."""
    port, user = free_port(), ["-u", "nobody"] if os.geteuid() == 0 else []
    with _configuration() as environment:
        command = [find("smtp-sink"), *user, f"127.0.0.1:{port}", "1000"]
        process = subprocess.Popen(command, env=environment)
        try:
            wait_until(lambda: listens(port), what="smtp-sink listens", seconds=10)
            yield port
        finally:
            process.terminate()
            process.wait(10)


def measure_source(port: int, *, messages: int = 20_000) -> float:
    """S5: messages a second of smtp-source with 5 sessions."""
    with _configuration() as environment:
        command = [find("smtp-source"), "-s", str(SESSIONS), "-m", str(messages)]
        command += ["-l", str(MESSAGE_OCTETS), f"127.0.0.1:{port}"]
        begun = time.perf_counter()
        subprocess.run(command, env=environment, check=True)
        return messages / (time.perf_counter() - begun)


@contextmanager
def _configuration() -> Iterator[dict[str, str]]:
    """Postfix's programs want a main.cf, be it an empty one."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "main.cf").touch()
        Path(folder).chmod(0o755)
        yield os.environ | {"MAIL_CONFIG": folder}


def listens(port: int) -> bool:
    """Whether something on this machine listens on the port; without a connection to it."""
    listening = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()
    return any(line.split()[1].endswith(f":{port:04X}") for line in listening[1:])
