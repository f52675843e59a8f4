"""Counting a run's deliveries, and noticing that it is through."""

from collections.abc import Mapping
from datetime import datetime

from django.db import connection

from mailer.models import COUNTERS, Run
from mailer.states import DELIVERY_MOVES, DeliveryState, RunState


def count_moves(run_id: int, moves: Mapping[tuple[DeliveryState, DeliveryState], int]) -> None:
    """Add {(from state, to state): number} to a run's counters; total stays the sum (I3).

    Raises ValueError for a move that DELIVERY_MOVES does not know.

    The last thing a transaction does: the run's row is the one that everybody wants.
    """
    deltas = dict.fromkeys(COUNTERS, 0)
    for (before, after), number in moves.items():
        if after not in DELIVERY_MOVES[before]:
            raise ValueError(f"run {run_id}: a delivery does not go from {before} to {after}")
        deltas[before] -= number
        deltas[after] += number
    changed = {name: delta for name, delta in deltas.items() if delta}
    if changed:
        # Said for every window: Django takes longer to write it than a database to do it.
        setters = ", ".join(f"{name} = {name} + %s" for name in changed)
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE mailer_run SET {setters} WHERE id = %s",  # noqa: S608  # names of counters
                [*changed.values(), run_id],
            )


def settle_run(run_id: int, *, now: datetime) -> bool:
    """Note a finished first pass and a finished run, if they are; True when the run is finished."""
    run = Run.objects.filter(pk=run_id, state=RunState.SENDING, pending=0)
    run.filter(first_pass_finished_at__isnull=True).update(first_pass_finished_at=now)
    return bool(run.filter(deferred=0).update(state=RunState.FINISHED, finished_at=now))
