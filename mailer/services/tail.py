"""Giving deliveries new places at the end of their run: a retry, or what a batch left over."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import zip_longest

from django.conf import settings
from django.db import connection
from django.db.models import F

from mailer.models import Batch, DomainLimit, Run

from .shares import split_by_share

SMALLEST_BATCH = 10  # where a provider takes hardly anything

_RENUMBER = {
    "postgresql": """
        UPDATE mailer_delivery AS d SET seq = %s + o.place - 1
        FROM jsonb_array_elements_text(%s::jsonb) WITH ORDINALITY AS o(id, place)
        WHERE d.id = o.id::bigint""",
    "sqlite": """
        UPDATE mailer_delivery SET seq = %s + o.key
        FROM json_each(%s) AS o WHERE mailer_delivery.id = o.value""",
}


def move_to_tail(
    run: Run,
    *,
    ids: Sequence[int],
    like: Batch | None = None,
    limit: DomainLimit | None = None,
    now: datetime,
) -> None:
    """Give deliveries, which the caller has locked, the next seqs of their run and batches there.

    The batches are `like` the one that left them over, or by the run's shares under `limit`. To be
    called inside a transaction that holds no lock on the run yet (deliveries before run).
    """
    if not ids:
        return
    Run.objects.filter(pk=run.pk).update(next_seq=F("next_seq") + len(ids))
    # The row is locked by the update: nobody else can have moved it in between.
    first = Run.objects.values_list("next_seq", flat=True).get(pk=run.pk) - len(ids)
    with connection.cursor() as cursor:
        cursor.execute(_RENUMBER[connection.vendor], [first, json.dumps(list(ids))])
    if like is not None:
        # Staff may have deleted it since the batch was read; nobody does before this is committed.
        limits = DomainLimit.objects.select_for_update(no_key=True)
        limit = limits.filter(pk=like.domain_limit_id).first() if like.domain_limit_id else None
        batches = cut(
            run,
            first_seq=first,
            count=len(ids),
            relay_id=like.relay_id,
            limit=limit,
            now=now,
        )
    else:
        batches = make_batches(run, first_seq=first, count=len(ids), limit=limit, now=now)
    Batch.objects.bulk_create(batches)


def make_batches(
    run: Run, *, first_seq: int, count: int, limit: DomainLimit | None = None, now: datetime
) -> Iterator[Batch]:
    """Unsaved batches over [first_seq, first_seq + count), by the run's shares, in turn."""
    shares = []
    for relay_id, part in split_by_share(run, count=count):
        shares.append(
            list(cut(run, first_seq=first_seq, count=part, relay_id=relay_id, limit=limit, now=now))
        )
        first_seq += part
    for row in zip_longest(*shares):
        yield from (batch for batch in row if batch is not None)


def cut(
    run: Run, *, first_seq: int, count: int, relay_id: int, limit: DomainLimit | None, now: datetime
) -> Iterator[Batch]:
    """Unsaved batches of MAILER_BATCH_SIZE for one relay; of what a provider takes in a minute,
    where that is less: the rest of a batch has to be moved each time."""
    end = first_seq + count
    size = settings.MAILER_BATCH_SIZE
    if limit is not None:
        size = min(size, max(SMALLEST_BATCH, limit.per_minute))
    for first in range(first_seq, end, size):
        yield Batch(
            run=run,
            relay_id=relay_id,
            domain_limit=limit,
            first_seq=first,
            last_seq=min(first + size, end) - 1,
            mark=first,
            created_at=now,
        )
