"""The processes of a Procfile as one: started together, stopped in order, none left behind.

honcho reads the Procfile and prints the lines. It does not run them, because it sends SIGTERM to
whole process groups: that kills a Celery worker's children in the middle of a batch, and the inbox
while it still holds mail.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from honcho.colour import get_colours
from honcho.printer import Message, Printer

PATIENCE = 20.0  # seconds for a clean end; a worker stops at its next message
_TICK = 0.1
_PR_SET_PDEATHSIG = 1


class Processes:
    """Runs the commands until one of them ends or somebody asks for the end."""

    def __init__(self, commands: Mapping[str, str], *, stopped_last: str) -> None:
        """`stopped_last` names the process that the others still need while they stop."""
        self._commands = commands
        self._stopped_last = stopped_last
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._printer = Printer(sys.stdout, width=max(map(len, commands)))
        self._writing = threading.Lock()
        self._asked = 0

    def run(self, *, given_up: Callable[[], bool], once_started: Callable[[], None]) -> int:
        """Blocks; returns 0 after SIGINT, SIGTERM, SIGHUP or `given_up`, 1 after a process ended.

        `once_started` runs beside them, in a thread.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)
        try:
            self._start()
            threading.Thread(target=once_started, daemon=True).start()
            while not self._asked and not given_up() and not self._ended():
                time.sleep(_TICK)
            ended = [] if self._asked or given_up() else self._ended()
        finally:
            self.say("Stopping; what is being sent is finished first ...")
            self._stop()
        for name in ended:
            code = self._children[name].returncode
            self.say(f"{name} ended by itself (exit code {code}), so everything was stopped.")
        return 1 if ended else 0

    def say(self, text: str) -> None:
        """Print lines of our own among those of the processes."""
        with self._writing, _reader_gone:
            print(text, flush=True)

    def _ask(self, *_: Any) -> None:
        self._asked += 1

    def _ended(self) -> list[str]:
        return [name for name, child in self._children.items() if child.poll() is not None]

    def _start(self) -> None:
        # All before the first thread: what runs between fork and exec must not meet a held lock.
        for name, command in self._commands.items():
            self._children[name] = subprocess.Popen(  # noqa: S602  # a Procfile is shell by definition
                f"exec {command}",
                shell=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this process alone, which stops in order
                preexec_fn=_die_with_parent,  # noqa: PLW1509
            )
        for (name, child), colour in zip(self._children.items(), get_colours(), strict=False):
            threading.Thread(target=self._forward, args=(name, child, colour), daemon=True).start()

    def _forward(self, name: str, child: "subprocess.Popen[bytes]", colour: str) -> None:
        for line in filter(bytes.strip, child.stdout or ()):
            now = datetime.now()  # noqa: DTZ005  # the reader's wall clock
            with self._writing, _reader_gone:
                self._printer.write(Message("line", line, now, name, colour))

    def _stop(self) -> None:
        last = {self._stopped_last} & self._children.keys()
        self._end(self._children.keys() - last)
        self._end(last)

    def _end(self, names: Iterable[str]) -> None:
        going = [self._children[name] for name in names if self._children[name].poll() is None]
        for child in going:
            child.terminate()
        deadline = time.monotonic() + PATIENCE
        # Asked twice: no more patience.
        while going and time.monotonic() < deadline and self._asked < 2:
            time.sleep(_TICK)
            going = [child for child in going if child.poll() is None]
        for child in going:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


# A terminal that was closed: the processes must not stop at a full pipe for it.
_reader_gone = contextlib.suppress(OSError)


def _die_with_parent() -> None:
    """Have the kernel send SIGTERM when this launcher is killed (on Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
