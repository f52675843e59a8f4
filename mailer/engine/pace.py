"""Messages a second, kept by waiting before each."""

from __future__ import annotations

import time
from collections.abc import Callable

_NAP = 0.25  # seconds between two looks at whether to go on


class Pace:
    """At most `per_second` messages a second, evenly; None is as fast as it goes."""

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

    def wait(self, may_continue: Callable[[], bool]) -> bool:
        """Wait for the next message's turn. False where `may_continue` said no meanwhile."""
        if not self._interval:
            return may_continue()
        while (remaining := self._next - self._monotonic()) > 0:
            if not may_continue():
                return False
            self._sleep(min(remaining, _NAP))
        if not may_continue():
            return False
        # From now, not from when it was due: time lost waiting is not made up for in a burst.
        self._next = self._monotonic() + self._interval
        return True
