"""The one transaction per window: fence, record, look, mark, read.

A window is the part of a batch below the mark that has no outcome yet. Only what this transaction
marked is sent; so a worker killed between two of them leaves at most one window uncertain.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from mailer.engine.sender import Outgoing, Result
from mailer.models import Batch, Delivery
from mailer.states import DeliveryState, RunState

from .breaker import break_run, first_windows
from .claiming import Claim, advance_mark, close_batch, is_sending, renew_lease
from .left_out import with_reason
from .progress import count_outcomes, settle_run
from .results import Recorded, record_results

#: A window shall be over in about so many seconds.
WINDOW_SECONDS = 5


def next_window(
    claim: Claim,
    results: Sequence[Result],
    *,
    now: datetime,
    go_on: bool = True,
    size: int | None = None,
    again: bool = False,
) -> list[Outgoing] | None:
    """Record the last window's results and open the next; None when the batch is closed or lost.

    `size` is how many messages the next window may have (MAILER_WINDOW_SIZE at most). `again`
    opens the last window once more, for what of it was not attempted. `go_on` false closes the
    batch: what was not attempted goes back to the tail of its run. Lock order as everywhere:
    batch, deliveries, run.
    """
    window = _open_window(claim, results, now=now, go_on=go_on, size=size, again=again)
    if window == []:
        # The batch is closed by itself: that locks deliveries, which come before the run.
        window = _open_window(claim, (), now=now, go_on=False)
    return window


@transaction.atomic
def _open_window(
    claim: Claim,
    results: Sequence[Result],
    *,
    now: datetime,
    go_on: bool,
    size: int | None = None,
    again: bool = False,
) -> list[Outgoing] | None:
    """The next window; empty, and nothing of it below the mark, when the run was paused meanwhile,
    by these results or somebody else."""
    batch = claim.batch
    first = end = batch.mark
    if go_on and again and is_sending(batch.run_id):
        first = claim.window_start
    elif go_on and not again:
        end = _next_mark(batch, size or window_size(batch))
    if not advance_mark(claim, to=end, now=now):
        return None  # I6: the reaper was here; whatever we know came too late
    recorded = record_results(batch, results, now=now)
    window: list[Outgoing] = []
    while first < batch.mark and not window:
        window, left_out = _read_window(batch, first=first, now=now)
        recorded.moved[DeliveryState.SKIPPED] += left_out
        if not window:  # all of it was skipped, or sent from another batch
            first, batch.mark = batch.mark, _next_mark(batch, size or window_size(batch))
            Batch.objects.filter(pk=batch.pk).update(mark=batch.mark)
    claim.window_start = first
    if not window:
        close_batch(claim, now=now)
    if not _count(claim, recorded, now=now) and window:
        Batch.objects.filter(pk=batch.pk).update(mark=first)
        batch.mark = first
        return []
    if not window:
        settle_run(batch.run_id, now=now)
    return window or None


@transaction.atomic
def record_window(claim: Claim, results: Sequence[Result], *, now: datetime) -> bool:
    """Record the last window's results and keep the batch; False when it is lost."""
    if not renew_lease(claim, now=now):
        return False
    _count(claim, record_results(claim.batch, results, now=now), now=now)
    return True


def _count(claim: Claim, recorded: Recorded, *, now: datetime) -> bool:
    """Count what was recorded; False when its run no longer sends, perhaps because of that."""
    run, moved = claim.batch.run, +recorded.moved
    tally = count_outcomes(run.pk, moved, refused_by_policy=recorded.refused_by_policy)
    outcomes = {state.value: number for state, number in moved.items()}
    transaction.on_commit(lambda: claim.outcomes.update(outcomes))
    if tally is None:
        return True  # nobody has looked at the run but advance_mark
    run.tried = tally.tried
    return tally.state == RunState.SENDING and not break_run(run, tally, now=now)


def window_size(batch: Batch, *, per_second: float | None = None) -> int:
    """Messages in one window: what goes out in WINDOW_SECONDS at this speed, within limits.

    Nobody looks at unsubscribes, writes down outcomes or counts refusals in the middle of a window.
    """
    speeds = [speed for speed in (per_second, batch.relay.rate_per_second) if speed]
    limits = [int(speed * WINDOW_SECONDS) for speed in speeds]
    if early := first_windows(batch.run):
        limits.append(early)
    return max(1, min([settings.MAILER_WINDOW_SIZE, *limits]))


def _next_mark(batch: Batch, size: int) -> int:
    return min(batch.mark + size, batch.last_seq + 1)


def _read_window(batch: Batch, *, first: int, now: datetime) -> tuple[list[Outgoing], int]:
    """What lies between `first` and the mark and may be sent; skips who may not (I5), so many."""
    values = {_RUN: batch.run_id, _FIRST: first, _END: batch.mark}
    sql, parameters = window_sql(single=batch.run.is_single)
    with connection.cursor() as cursor:
        cursor.execute(sql, [values.get(value, value) for value in parameters])
        rows = cursor.fetchall()
    gone = {seq: why for seq, _uuid, _address, _variables, why in rows if why is not None}
    for why in set(gone.values()):
        Delivery.objects.filter(
            run_id=batch.run_id, seq__in=[seq for seq, reason in gone.items() if reason == why]
        ).update(state=DeliveryState.SKIPPED, problem=why, settled_at=now)
    window = [_outgoing(*row) for *row, why in rows if why is None]
    return window, len(gone)


_RUN, _FIRST, _END = 2_147_483_001, 2_147_483_002, 2_147_483_003  # stand for values in the SQL


@cache
def window_sql(*, single: bool) -> tuple[str, tuple[Any, ...]]:
    """A window's statement, either kind compiled once: Django takes longer to write it than a
    database to answer it."""
    rows = Delivery.objects.filter(
        run_id=_RUN, seq__gte=_FIRST, seq__lt=_END, state=DeliveryState.PENDING
    )
    chosen = with_reason(rows, run_id=_RUN, single=single).order_by("seq")
    columns = chosen.values_list("seq", "uuid", "address", "variables", "why")
    sql, parameters = columns.query.sql_with_params()
    return sql, parameters


def _outgoing(seq: int, uuid: Any, address: str, variables: Any) -> Outgoing:
    """From a row as the driver gives it."""
    values = json.loads(variables) if isinstance(variables, str) else variables
    return Outgoing(
        seq=seq,
        uuid=uuid if isinstance(uuid, UUID) else UUID(uuid),
        address=address,
        name=str(values.get("name", "")),
        variables=values,
    )
