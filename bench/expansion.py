"""An audience of a million into deliveries and batches, by the service that the workers call.

Beside it, in turn: PostgreSQL alone copies the rows that this made into the plain ledger, a table
that is unique by (run, seq) and (run, address). The bar was set as 15 µs on a machine on which
this took 9.5.

`python -m bench.expansion MAILING`, in a site's environment, prepares one run in this process and
prints what it took.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import django

from bench.figures import Figure
from bench.site import Site, site

ROUNDS = 3


def measure(people: int, *, bar: float, memory_bar: float) -> list[Figure]:
    """So many times the copy, and the most memory of the process so many times that for 10,000."""
    with site("servers", relay="smtp://127.0.0.1:1") as made:
        made.run("-m", "bench.world", str(people))
        few = [expand_once(made, "Bench few") for _ in range(ROUNDS)]
        many, copies = [], []
        for _ in range(ROUNDS):
            many.append(expand_once(made, "Bench"))
            copies.append(copy_once(made, many[-1]["run"]))
    cost = statistics.median(done["seconds"] for done in many) / people * 1e6
    copy = statistics.median(copies) / people * 1e6
    small, large = (max(done["megabytes"] for done in runs) for runs in (few, many))
    return [
        Figure(
            "expansion", cost / copy, bar,
            f"{cost:.1f} µs a recipient, {people:,} of them; the copy {copy:.1f}", good="low",
        ),
        Figure(
            "expansion_memory", large / small, memory_bar,
            f"{large:.0f} MB for {people:,}, {small:.0f} for {few[0]['recipients']:,}", good="low",
        ),
    ]  # fmt: skip


def expand_once(made: Site, mailing: str) -> dict[str, Any]:
    """In a process of its own: its memory is told from everything that came before."""
    done: dict[str, Any] = json.loads(made.run("-m", "bench.expansion", mailing))
    return done


def copy_once(made: Site, run: int) -> float:
    """Seconds for the same rows in the same order, into the plain ledger."""
    written = (
        "run_id, seq, uuid, recipient_id, address, address_key, domain, variables, state, "
        "attempts, enhanced_status, reply"
    )
    with closing(made.connect()) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS bench_copy (LIKE mailer_delivery INCLUDING IDENTITY, "
            "PRIMARY KEY (id), UNIQUE (run_id, seq), UNIQUE (run_id, address_key))"
        )
        connection.execute("ANALYZE mailer_delivery")  # or it would sort them
        begun = time.perf_counter()
        connection.execute(
            f"INSERT INTO bench_copy ({written}) "
            f"SELECT {written} FROM mailer_delivery WHERE run_id = {run} ORDER BY seq"
        )
        return time.perf_counter() - begun


def main(name: str) -> None:
    from django.utils import timezone

    from mailer.models import Mailing, Run
    from mailer.services.planning import prepare_run, start_now
    from mailer.states import RunState

    now = timezone.now()
    mailing = Mailing.objects.get(name=name)
    run = start_now(mailing, moment=now, trigger=Run.Trigger.COMMAND, by=None, now=now)
    begun = time.perf_counter()
    prepared = prepare_run(run.pk, now=timezone.now())
    seconds = time.perf_counter() - begun
    if prepared is None or prepared.state != RunState.SENDING:
        raise RuntimeError(f"{name} was not prepared: {prepared and prepared.reason}")
    # The next run of this mailing would wait for it.
    Run.objects.filter(pk=run.pk).update(first_pass_finished_at=now)
    print(
        json.dumps(
            {
                "run": run.pk,
                "seconds": seconds,
                "recipients": prepared.total,
                "megabytes": most_memory(),
            }
        )
    )


def most_memory() -> float:
    """The most that this process ever had in memory, in MB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the system does not say")


if __name__ == "__main__":
    django.setup()
    main(sys.argv[1])
