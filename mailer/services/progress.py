"""Counting a run's deliveries, and noticing that it is through."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from mailer.models import COUNTERS, Run
from mailer.states import DELIVERY_MOVES, DeliveryState, RunState


@dataclass(frozen=True, slots=True)
class Tally:
    """What a circuit breaker looks at, as a run's row has it: deliveries that came to an end since
    the run was started, resumed or retried, and how many of them were refused. `waiting` are not
    sent yet; `state` is the run's, which nobody else moves until the transaction ends."""

    tried: int
    refused: int
    refused_by_policy: int
    waiting: int
    state: str = RunState.SENDING


def count_moves(run_id: int, moves: Mapping[tuple[DeliveryState, DeliveryState], int]) -> None:
    """Add {(from state, to state): number} to a run's counters; total stays the sum (I3).

    Raises ValueError for a move that DELIVERY_MOVES does not know.

    The last thing a transaction does: the run's row is the one that everybody wants.
    """
    _add(run_id, _deltas(run_id, moves))


def count_outcomes(
    run_id: int, outcomes: Counter[DeliveryState], *, refused_by_policy: int
) -> Tally | None:
    """Count what became of pending deliveries, and how the run fares; None if nothing moved.

    What was put off or is uncertain has not come to an end: tried again, it must not count twice.
    """
    moves = {(DeliveryState.PENDING, state): number for state, number in outcomes.items()}
    refused = outcomes[DeliveryState.FAILED]
    tried = outcomes[DeliveryState.SENT] + refused
    return _add(
        run_id,
        _deltas(run_id, moves)
        | {"tried": tried, "refused": refused, "refused_by_policy": refused_by_policy},
    )


def _deltas(
    run_id: int, moves: Mapping[tuple[DeliveryState, DeliveryState], int]
) -> dict[str, int]:
    deltas = dict.fromkeys(COUNTERS, 0)
    for (before, after), number in moves.items():
        if after not in DELIVERY_MOVES[before]:
            raise ValueError(f"run {run_id}: a delivery does not go from {before} to {after}")
        deltas[before] -= number
        deltas[after] += number
    return deltas


def _add(run_id: int, deltas: Mapping[str, int]) -> Tally | None:
    changed = {name: delta for name, delta in deltas.items() if delta}
    if not changed:
        return None
    # Said for every window: Django takes longer to write it than a database to do it.
    setters = ", ".join(f"{name} = {name} + %s" for name in changed)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE mailer_run SET {setters} WHERE id = %s"  # noqa: S608  # names of counters
            " RETURNING tried, refused, refused_by_policy, pending + deferred, state",
            [*changed.values(), run_id],
        )
        rows = cursor.fetchall()
    return Tally(*rows[0])


def settle_run(run_id: int, *, now: datetime) -> bool:
    """Note a finished first pass and a finished run, if they are; True when the run is finished."""
    run = Run.objects.filter(pk=run_id, state=RunState.SENDING, pending=0)
    run.filter(first_pass_finished_at__isnull=True).update(first_pass_finished_at=now)
    return bool(run.filter(deferred=0).update(state=RunState.FINISHED, finished_at=now))
