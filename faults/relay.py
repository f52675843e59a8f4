"""The recorder as the suite holds it: start it, say how it behaves, read what it accepted."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from faults.recorder import Behaviour
from tests.system.inbox import free_port
from tests.system.processes import ROOT, wait_until


@dataclass(frozen=True, slots=True)
class Accepted:
    """One message that a relay answered for; `at` in seconds since the epoch.

    `chunked`: by BDAT. `unanswered`: those before it on its connection whose replies were still on
    their way.
    """

    at: float
    address: str
    message_id: str
    chunked: bool
    unanswered: int


class RecordingRelay:
    """A relay in a process of its own, which no fault kills."""

    def __init__(self, record: Path) -> None:
        self.port = free_port()
        self._record = record
        self._read_to = 0
        self._accepted: list[Accepted] = []
        self._said: queue.Queue[str] = queue.Queue()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "faults.recorder", str(self.port), str(self._record)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._listen, daemon=True).start()
        self._wait_for("listens")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def behave(self, **behaviour: Any) -> None:
        """Behave like this from now on (faults.recorder.Behaviour); nothing given is ordinary.

        A connection that was held goes on.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(Behaviour(**behaviour))) + "\n")
        self._process.stdin.flush()
        self._wait_for("behaves")

    def wait_held(self, *, seconds: float = 30) -> None:
        """Until a connection stands where `hold_at` said."""
        self._wait_for("holds", seconds=seconds)

    @property
    def accepted(self) -> list[Accepted]:
        """All that was accepted so far, in order."""
        if self._record.exists():
            with self._record.open("rb") as record:
                record.seek(self._read_to)
                for line in record:
                    if line.endswith(b"\n"):  # else it is being written
                        self._accepted.append(Accepted(**json.loads(line)))
                        self._read_to += len(line)
        return self._accepted

    def wait_accepted(self, number: int) -> None:
        """Until so many more were accepted."""
        goal = len(self.accepted) + number
        wait_until(lambda: len(self.accepted) >= goal, what=f"{number} more are accepted")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(line.strip())

    def _wait_for(self, word: str, *, seconds: float = 30) -> None:
        while True:
            try:
                said = self._said.get(timeout=seconds)
            except queue.Empty:
                raise AssertionError(f"the relay never said that it {word}") from None
            if said == word:
                return
