"""Messages a second, kept by waiting before each."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from math import ceil

_NAP = 0.25  # seconds between two looks at whether to go on
_SECOND = 1.005  # and a little: two messages may be nearer at the relay than they were here


class Pace:
    """At most `per_second` messages a second, evenly, None as fast as it goes. Threads share it.

    A message that is late does not hold up the next, as long as no second has more than that, or
    the next whole number: what counts is when they really left.
    """

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
        self._left: deque[float] = deque(maxlen=ceil(per_second or 0))  # when, of a second's last
        self._lock = threading.Lock()

    @property
    def is_free(self) -> bool:
        """Whether there is nothing to wait for."""
        return not self._interval

    def wait(self, may_continue: Callable[[], bool]) -> bool:
        """Wait for the next message's turn. False where `may_continue` said no meanwhile."""
        if self.is_free:
            return may_continue()
        with self._lock:  # whoever is next knows then when those before it left
            # From now, not from when it was due: time lost is not made up for in a burst.
            turn = max(self._next, self._monotonic())
            if len(self._left) == self._left.maxlen:
                turn = max(turn, self._left[0] + _SECOND)
            while (remaining := turn - self._monotonic()) > 0:
                if not may_continue():
                    return False
                self._sleep(min(remaining, _NAP))
            if not may_continue():
                return False
            self._next = turn + self._interval
            self._left.append(self._monotonic())
            return True
