"""What the engine reports, written down: one row per recipient, one statement per window."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import uniform

from django.conf import settings
from django.db import connection
from django.db.models import Q

from mailer.engine.patience import patience_of
from mailer.engine.sender import Result
from mailer.engine.verdict import DISABLED, POLICY, Outcome
from mailer.models import Attempt, Batch, Delivery, Suppression
from mailer.states import DeliveryState

LONGEST_RETRY = timedelta(hours=4)

_STATES = {
    Outcome.SENT: DeliveryState.SENT,
    Outcome.DEFERRED: DeliveryState.DEFERRED,
    Outcome.FAILED: DeliveryState.FAILED,
    Outcome.UNCERTAIN: DeliveryState.UNCERTAIN,
}

# `state = 'pending'`: an outcome is recorded once, whoever comes again with it.
RECORD = {
    "postgresql": """
        UPDATE mailer_delivery AS d
        SET state = o.state, attempts = d.attempts + 1, code = o.code,
            enhanced_status = o.enhanced_status, reply = o.reply, problem = o.problem,
            settled_at = o.settled_at, retry_at = o.retry_at
        FROM jsonb_to_recordset(%s::jsonb) AS o(seq bigint, state text, code smallint,
            enhanced_status text, reply text, problem text, settled_at timestamptz,
            retry_at timestamptz)
        WHERE d.run_id = %s AND d.seq = o.seq AND d.state = 'pending'
        RETURNING d.state, d.enhanced_status""",
    # Materialised, or SQLite walks the whole run for each row of it: seconds for a window.
    "sqlite": """
        WITH o AS MATERIALIZED (
            SELECT json_extract(value, '$.seq') AS seq, json_extract(value, '$.state') AS state,
                json_extract(value, '$.code') AS code,
                json_extract(value, '$.enhanced_status') AS enhanced_status,
                json_extract(value, '$.reply') AS reply,
                json_extract(value, '$.problem') AS problem,
                json_extract(value, '$.settled_at') AS settled_at,
                json_extract(value, '$.retry_at') AS retry_at
            FROM json_each(%s)
        )
        UPDATE mailer_delivery AS d
        SET state = o.state, attempts = d.attempts + 1, code = o.code,
            enhanced_status = o.enhanced_status, reply = o.reply, problem = o.problem,
            settled_at = o.settled_at, retry_at = o.retry_at
        FROM o
        WHERE d.run_id = %s AND d.seq = o.seq AND d.state = 'pending'
        RETURNING state, enhanced_status""",
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many deliveries moved to which state, and how many of them failed by policy."""

    moved: Counter[DeliveryState] = field(default_factory=Counter)
    refused_by_policy: int = 0


def record_results(batch: Batch, results: Sequence[Result], *, now: datetime) -> Recorded:
    """Move the deliveries of a held batch to what became of them.

    In a transaction that renewed the lease. Suppresses dead addresses.
    """
    tried = [result for result in results if result.outcome in _STATES]
    if not tried:
        return Recorded()
    attempts = _attempts_of_deferred(batch.run_id, tried)
    rows = [_row(result, attempts=attempts.get(result.seq, 0), now=now) for result in tried]
    with connection.cursor() as cursor:
        cursor.execute(RECORD[connection.vendor], [json.dumps(rows), batch.run_id])
        moved = cursor.fetchall()
    if len(moved) != len(tried):
        _check_recorded_before(batch, rows)
    suppress_dead(batch.run_id, tried)
    failed = [status for state, status in moved if state == DeliveryState.FAILED]
    return Recorded(
        Counter(DeliveryState(state) for state, _status in moved),
        refused_by_policy=sum(status.startswith(POLICY) for status in failed),
    )


def _check_recorded_before(batch: Batch, rows: list[dict[str, object]]) -> None:
    """What did not move was recorded by a transaction whose commit we did not hear of.

    Anything else is a mistake of ours, as nobody but the holder moves them: raises RuntimeError.
    """
    expected = {(row["seq"], row["state"]) for row in rows}
    found = Delivery.objects.filter(run_id=batch.run_id, seq__in=[seq for seq, _ in expected])
    # One that is gone has been retried since, under another seq.
    if other := set(found.values_list("seq", "state")) - expected:
        raise RuntimeError(f"batch {batch.pk}: {len(other)} outcomes could not be recorded")


def suppress_dead(run_id: int, results: Sequence[Result]) -> None:
    """Suppress the addresses that replies proved dead (mail-rules: 5.1.x now, 5.2.1 twice)."""
    dead = {result.seq: result for result in results if result.suppress != "never"}
    if not dead:
        return
    # By key, as everywhere: two windows that suppress the same people then wait, not deadlock.
    for delivery in Delivery.objects.filter(run_id=run_id, seq__in=dead).order_by("address_key"):
        result = dead[delivery.seq]
        if result.suppress == "second time" and not _refused_before(delivery):
            continue
        Suppression.objects.get_or_create(
            address_key=delivery.address_key,
            defaults={
                "address": delivery.address,
                "reason": Suppression.Reason.HARD_BOUNCE,
                "detail": result.reply[:300],
            },
        )


def retry_delay(attempts: int, *, patience: int = 1) -> timedelta:
    """How long to wait after so many attempts: doubling from `patience` times MAILER_RETRY_SECONDS
    ± 20 %, up to LONGEST_RETRY or a fifth less: what was put off together shall not come together
    each time."""
    seconds = settings.MAILER_RETRY_SECONDS * patience * 2 ** min(attempts - 1, 20)
    delay = timedelta(seconds=seconds) * uniform(0.8, 1.2)  # noqa: S311
    return min(delay, LONGEST_RETRY * uniform(0.8, 1.0))  # noqa: S311


def _row(result: Result, *, attempts: int, now: datetime) -> dict[str, object]:
    state = _STATES[result.outcome]
    retry_at = None
    if state is DeliveryState.DEFERRED:
        patience = patience_of(result.code, result.enhanced_status, result.reply)
        retry_at = now + retry_delay(attempts + 1, patience=patience)
    adapt = connection.ops.adapt_datetimefield_value
    return {
        "seq": result.seq,
        "state": state.value,
        "code": result.code,
        "enhanced_status": result.enhanced_status,
        "reply": result.reply,
        "problem": result.problem[:64] or None,
        "settled_at": str(adapt(result.at)),
        "retry_at": retry_at and str(adapt(retry_at)),
    }


def _attempts_of_deferred(run_id: int, results: Sequence[Result]) -> dict[int, int]:
    """{seq: attempts so far} of those that wait for another."""
    deferred = [result.seq for result in results if result.outcome is Outcome.DEFERRED]
    if not deferred:
        return {}
    found = Delivery.objects.filter(run_id=run_id, seq__in=deferred)
    return dict(found.values_list("seq", "attempts"))


def _refused_before(delivery: Delivery) -> bool:
    """Whether the same mailbox was said to be disabled at another attempt, of any run."""
    # Found by the index on recipients, or by that on addresses of those who are none (or none now).
    mine = Q(recipient__isnull=True, address_key=delivery.address_key)
    if delivery.recipient_id is not None:
        mine |= Q(recipient=delivery.recipient_id, address_key=delivery.address_key)
    deliveries = Delivery.objects.filter(mine)
    return (
        deliveries.filter(enhanced_status=DISABLED).exclude(pk=delivery.pk).exists()
        or Attempt.objects.filter(delivery__in=deliveries, enhanced_status=DISABLED).exists()
    )
