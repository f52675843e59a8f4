"""Lanes at work side by side, each in a thread of its own, until there is no more to send."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from mailer.engine.composer import Outgoing
from mailer.engine.dispatch import Dispatch, RelayTrouble, Result

_LOOK_SECONDS = 0.25  # between two questions to the caller whether to go on
_WORTH_A_LANE = 8  # messages that pay for opening another connection


class AnyLane(Protocol):
    """One connection and its work."""

    retired: bool  # the relay takes no such connection beside the others
    ready: threading.Event  # it was opened, or cannot be


L = TypeVar("L", bound=AnyLane)


class Crew(Generic[L]):
    """Sends messages to one relay over several lanes. What a lane does, a subclass says."""

    def __init__(self, lanes: Sequence[L], dispatch: Dispatch) -> None:
        self._lanes = lanes
        self._dispatch = dispatch
        self._threads = ThreadPoolExecutor(len(lanes), thread_name_prefix="lane")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown()

    @property
    def trouble(self) -> RelayTrouble | None:
        """Why sending stopped, where it was the relay's doing; it does not go on after that."""
        return self._dispatch.trouble

    def send(
        self,
        messages: Sequence[Outgoing],
        results: list[Result],
        *,
        may_continue: Callable[[], bool],
        may_offer: Callable[[], bool] = lambda: True,
    ) -> None:
        """Send, and append one Result for each message tried, in the order in which they end.

        Stops early when one of the two says no, or `trouble` is set: a message without a result
        was certainly not accepted and may be sent again. `may_continue` is asked a few times a
        second in this thread; `may_offer` before each message, in the threads that send.

        What raises in here is a mistake of ours; `results` is complete by then all the same.
        """
        self._dispatch.load(messages, results, may_offer)
        while self._dispatch.has_more() and may_continue():
            self._run(min(len(self._lanes), -(-len(messages) // _WORTH_A_LANE)), may_continue)

    def _run(self, lanes: int, may_continue: Callable[[], bool]) -> None:
        """One go at what is waiting; a lane that ends leaves what it had to the others."""
        usable = [lane for lane in self._lanes if not lane.retired][:lanes]
        going = [self._threads.submit(self._begin, lane, usable[0]) for lane in usable]
        try:
            while wait(going, _LOOK_SECONDS).not_done:
                if not may_continue():
                    self._dispatch.stop()
        except BaseException:
            self._dispatch.stop()
            wait(going)
            raise
        for future in going:
            future.result()  # raises what was raised in the thread

    def _begin(self, lane: L, first: L) -> None:
        if lane is not first:
            first.ready.wait()  # a relay that takes one connection alone is known for it then
        self._work(lane, [other for other in self._lanes if other is not lane])

    def _work(self, lane: L, others: Sequence[L]) -> None:
        """Send until there is no more, or nothing more may leave; in the lane's thread."""
        raise NotImplementedError
