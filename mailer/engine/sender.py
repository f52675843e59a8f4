"""Messages in, outcomes out: the one interface of the engine that sends."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from mailer.engine.composer import Composer, Outgoing
from mailer.engine.crew import Crew
from mailer.engine.dispatch import Dispatch, RelayTrouble, Result
from mailer.engine.kept import KeptConnections
from mailer.engine.lane import Lane
from mailer.engine.pace import Pace
from mailer.engine.relay import RelayAddress
from mailer.engine.verdict import Outcome

__all__ = ["Composer", "Outcome", "Outgoing", "RelayTrouble", "Result", "Sender"]


class Sender(Crew[Lane]):
    """Sends messages to one relay over several connections, each in a thread of its own."""

    def __init__(
        self,
        relay: RelayAddress,
        composer: Composer,
        *,
        connections: int = 1,
        pace: Pace | None = None,
        kept: KeptConnections | None = None,
        suspect: bool = False,
    ) -> None:
        """`kept` is where connections come from and go to; without it they end with this. A relay
        is `suspect` that was in trouble before (see Dispatch)."""
        self._kept = kept or KeptConnections()
        self._keeps = kept is not None
        dispatch = Dispatch(str(relay), clock=composer.clock, suspect=suspect)
        lanes = [
            Lane(self._kept.take(relay), composer, dispatch, pace or Pace())
            for _ in range(connections)
        ]
        super().__init__(lanes, dispatch)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        for lane in self._lanes:
            self._kept.give(lane.connection)
        if not self._keeps:
            self._kept.close()

    def _work(self, lane: Lane, others: Sequence[Lane]) -> None:
        lane.run(others)
