"""The invariants of mail-rules, and the counts of the last line, against what was accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from faults.relay import Accepted
from mailer.engine.frame import read_message_id
from mailer.models import Audit, Batch, Delivery, Run, Subscription
from mailer.states import RUN_FINAL
from mailer.tests.ledger import find_broken

WINDOW = 20  # MAILER_WINDOW_SIZE of the site


@dataclass(frozen=True, slots=True)
class Count:
    """Over some runs. A duplicate is a message accepted once more; a loss is a person whom nothing
    became of, or one said to be sent whose message was never accepted."""

    sent: int = 0
    taken_over: int = 0  # batches of workers that were lost with something in hand
    uncertain: int = 0
    duplicates: int = 0
    lost: int = 0


def count(runs: Sequence[Run], accepted: Iterable[Accepted]) -> Count:
    rows = list(Delivery.objects.filter(run__in=runs).values_list("uuid", "state"))
    times = Counter(read_message_id(entry.message_id) for entry in accepted)
    states = Counter(state for _uuid, state in rows)
    never = sum(state == "sent" and uuid not in times for uuid, state in rows)
    final = [run.pk for run in runs if run.state in RUN_FINAL]
    still = Delivery.objects.filter(run__in=final, state__in=["pending", "deferred"]).count()
    return Count(
        sent=states["sent"],
        taken_over=Audit.objects.filter(run__in=runs, action="take_over", count__gt=0).count(),
        uncertain=states["uncertain"],
        duplicates=sum(times[uuid] - 1 for uuid, _state in rows if times[uuid] > 1),
        lost=never + still + sum(map(_without_row, runs)),
    )


def find_wrong(runs: Sequence[Run], accepted: Sequence[Accepted]) -> list[str]:
    """What does not hold of runs that are at rest, in words."""
    wrong: list[str] = []
    known = dict(Delivery.objects.filter(run__in=runs).values_list("uuid", "run_id"))
    shares: dict[int | None, list[Accepted]] = {}
    for entry in accepted:
        uuid = read_message_id(entry.message_id)
        shares.setdefault(known.get(uuid) if uuid else None, []).append(entry)
    if strangers := shares.pop(None, []):
        wrong.append(f"I7: {len(strangers)} accepted messages belong to no delivery")
    for run in runs:
        share = shares.get(run.pk, [])
        broken = find_broken(
            run,
            taken=[entry.address for entry in share],
            message_ids=[entry.message_id for entry in share],
        )
        wrong += [f"run {run.pk}: {words}" for words in broken]
        if run.state not in RUN_FINAL:
            wrong.append(f"run {run.pk} is {run.state} ({run.reason})")
        elif lost := _without_row(run):
            wrong.append(f"I2: run {run.pk} has no row for {lost} people")
    held = Batch.objects.filter(run__in=runs, state="sending").count()
    if held:
        wrong.append(f"{held} batches are still in a worker's hands")
    takeovers = Audit.objects.filter(run__in=runs, action="take_over", count__gt=WINDOW)
    wrong += [f"a take-over left {n} uncertain" for n in takeovers.values_list("count", flat=True)]
    return wrong


def _without_row(run: Run) -> int:
    """People of a prepared run's lists who have neither a row nor a reason for having none."""
    if run.started_at is None:
        return 0
    rows = Delivery.objects.filter(run=run).exclude(recipient=None).values("recipient")
    people = Subscription.objects.filter(list__in=run.lists.all()).exclude(recipient__in=rows)
    left_out: dict[str, int] = run.left_out
    return people.values("recipient").distinct().count() - sum(left_out.values())
