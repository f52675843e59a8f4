"""Messages a second, kept by waiting before each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_NAP = 0.25  # seconds between two looks at whether to go on


class Pace:
    """At most `per_second` messages a second, evenly, None as fast as it goes. Threads share it."""

    def __init__(
        self,
        per_second: float | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if per_second is not None and per_second <= 0:
            raise ValueError("per_second must be above 0")
        self._interval = 0.0 if per_second is None else 1.0 / per_second
        self._monotonic = monotonic
        self._sleep = sleep
        self._next = float("-inf")
        self._lock = threading.Lock()

    @property
    def is_free(self) -> bool:
        """Whether there is nothing to wait for."""
        return not self._interval

    def wait(self, may_continue: Callable[[], bool]) -> bool:
        """Wait for the next message's turn. False where `may_continue` said no meanwhile."""
        if self.is_free:
            return may_continue()
        with self._lock:
            # From now, not from when it was due: time lost is not made up for in a burst.
            turn = max(self._next, self._monotonic())
            self._next = turn + self._interval
        while (remaining := turn - self._monotonic()) > 0:
            if not may_continue():
                return False
            self._sleep(min(remaining, _NAP))
        return may_continue()
