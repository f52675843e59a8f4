"""Messages in, outcomes out: the one interface of the engine that sends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from mailer.engine.composer import Composer, Outgoing
from mailer.engine.dispatch import Dispatch, RelayTrouble, Result
from mailer.engine.kept import KeptConnections
from mailer.engine.lane import Lane
from mailer.engine.pace import Pace
from mailer.engine.relay import RelayAddress
from mailer.engine.verdict import Outcome

__all__ = ["Composer", "Outcome", "Outgoing", "RelayTrouble", "Result", "Sender"]

_LOOK_SECONDS = 0.25  # between two questions to the caller whether to go on
_WORTH_A_LANE = 8  # messages that pay for opening another connection


class Sender:
    """Sends messages to one relay over several connections, each in a thread of its own."""

    def __init__(
        self,
        relay: RelayAddress,
        composer: Composer,
        *,
        connections: int = 1,
        pace: Pace | None = None,
        kept: KeptConnections | None = None,
    ) -> None:
        """`kept` is where connections come from and go to; without it they end with this."""
        self._kept = kept or KeptConnections()
        self._keeps = kept is not None
        self._dispatch = Dispatch(relay, clock=composer.clock)
        self._lanes = [
            Lane(self._kept.take(relay), composer, self._dispatch, pace or Pace())
            for _ in range(connections)
        ]
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="smtp")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown()
        for lane in self._lanes:
            self._kept.give(lane.connection)
        if not self._keeps:
            self._kept.close()

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
        going = [self._threads.submit(self._run_lane, lane, usable[0]) for lane in usable]
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

    def _run_lane(self, lane: Lane, first: Lane) -> None:
        if lane is not first:
            first.ready.wait()  # a relay that takes one connection alone is known for it then
        lane.run([other for other in self._lanes if other is not lane])
