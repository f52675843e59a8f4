"""One launcher to a folder: two would run workers of one name on one database and one broker."""

import fcntl
import os
from pathlib import Path
from typing import IO


class AlreadyRunsError(Exception):
    """Somebody has the folder; the text says who, as far as they have said it."""


class LaunchLock:
    """A lock on a file that the kernel takes back when this process ends, however it ends.

    The processes that are started do not inherit it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "launcher.lock"
        self._file: IO[str] | None = None

    def check(self) -> None:
        """Leaves no trace. Raises AlreadyRunsError, or OSError where nothing can be locked."""
        if self._path.exists():
            with self._path.open() as file:
                _lock(file, fcntl.LOCK_SH)

    def take(self, address: str) -> None:
        """Hold it until the end of this process. Raises as check() does."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+")
        _lock(self._file, fcntl.LOCK_EX)
        self._file.truncate(0)
        self._file.write(f"at {address} (process {os.getpid()})")
        self._file.flush()


def _lock(file: IO[str], how: int) -> None:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise AlreadyRunsError(f"Mailroom already runs here {file.read()}".strip()) from None
