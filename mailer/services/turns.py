"""Taking turns at a relay or a provider that is limited, one window after the other."""

import time
from collections.abc import Callable
from datetime import datetime

from mailer.models import Batch

from .reserving import LEAD, PATIENCE, Later, Turn, give_back, take_turn

LONGEST_LAG = 1.0  # seconds from the beginning of a turn until its window is open


class Turns:
    """The turns of one batch. One at a time; what of a turn was not used is given back."""

    def __init__(self, batch: Batch, *, clock: Callable[[], datetime]) -> None:
        self._batch = batch
        self._clock = clock
        self._turn: Turn | None = None
        self._until = float("-inf")  # monotonic
        self._lag = 0.0

    def take(self, messages: int, may_continue: Callable[[], bool]) -> int:
        """Wait until a turn is about to begin and say how many messages it has; 0 when none is
        near, the wait was given up, or there is nothing left to send."""
        if messages < 1:
            return 0
        turn = take_turn(self._batch, messages=messages, lag=self._lag, now=self._clock())
        while isinstance(turn, Later):
            near = (turn.until - self._clock()).total_seconds() <= PATIENCE
            # Who waits for a provider need not keep the worker from mail to everybody else.
            if self._batch.domain_limit_id or not near or not self._wait(turn.until, may_continue):
                return 0
            turn = take_turn(self._batch, messages=messages, lag=self._lag, now=self._clock())
        self._turn = turn
        if not self._wait(turn.start - LEAD, may_continue):
            return 0
        self._until = time.monotonic() + (turn.end - self._clock()).total_seconds()
        return turn.messages

    def begin(self, may_continue: Callable[[], bool]) -> None:
        """Wait for the moment from which messages may leave, or until the wait is given up."""
        if self._turn is not None and self._wait(self._turn.start, may_continue):
            # A turn of a few milliseconds must not be over before its window is open.
            late = (self._clock() - self._turn.start).total_seconds()
            self._lag = min(LONGEST_LAG, late)

    def _wait(self, moment: datetime, may_continue: Callable[[], bool]) -> bool:
        while (seconds := (moment - self._clock()).total_seconds()) > 0:
            if not may_continue():
                return False
            time.sleep(min(0.25, seconds))
        return True

    def goes_on(self) -> bool:
        """Whether a message may still begin; asked in the threads that send."""
        return time.monotonic() < self._until

    def is_over(self) -> bool:
        """Whether the turn's time ran out before its messages did."""
        return not self.goes_on()

    def end(self, *, attempted: int) -> None:
        """After so many messages of it, or none."""
        turn, self._turn = self._turn, None
        if turn is not None and attempted < turn.messages:
            unused = turn.messages - attempted
            give_back(self._batch, turn, messages=unused, now=self._clock())
