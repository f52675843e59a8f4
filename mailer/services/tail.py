"""Giving deliveries new places at the end of their run: a retry, or what a batch left over."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from django.conf import settings
from django.db import connection
from django.db.models import F

from mailer.models import Batch, Relay, Run

_RENUMBER = {
    "postgresql": """
        UPDATE mailer_delivery AS d SET seq = %s + o.place - 1
        FROM jsonb_array_elements_text(%s::jsonb) WITH ORDINALITY AS o(id, place)
        WHERE d.id = o.id::bigint""",
    "sqlite": """
        UPDATE mailer_delivery SET seq = %s + o.key
        FROM json_each(%s) AS o WHERE mailer_delivery.id = o.value""",
}


def move_to_tail(run: Run, *, ids: Sequence[int], relay: Relay, now: datetime) -> None:
    """Give deliveries, which the caller has locked, the next seqs of their run and batches there.

    To be called inside a transaction that holds no lock on the run yet (deliveries before run).
    """
    if not ids:
        return
    Run.objects.filter(pk=run.pk).update(next_seq=F("next_seq") + len(ids))
    # The row is locked by the update: nobody else can have moved it in between.
    first = Run.objects.values_list("next_seq", flat=True).get(pk=run.pk) - len(ids)
    with connection.cursor() as cursor:
        cursor.execute(_RENUMBER[connection.vendor], [first, json.dumps(list(ids))])
    Batch.objects.bulk_create(
        make_batches(run, first_seq=first, count=len(ids), now=now, relay=relay)
    )


def make_batches(
    run: Run,
    *,
    first_seq: int,
    count: int,
    now: datetime,
    relay: Relay | None = None,
) -> Iterator[Batch]:
    """Unsaved batches of MAILER_BATCH_SIZE over [first_seq, first_seq + count)."""
    end = first_seq + count
    for first in range(first_seq, end, settings.MAILER_BATCH_SIZE):
        yield Batch(
            run=run,
            relay=relay or run.relay,
            first_seq=first,
            last_seq=min(first + settings.MAILER_BATCH_SIZE, end) - 1,
            mark=first,
            created_at=now,
        )
