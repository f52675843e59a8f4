"""An audience of a million into deliveries and batches, by the service that the workers call.

`python -m bench.expansion MAILING`, in a site's environment, prepares one run in this process and
prints what it took.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import django

from bench.figures import Figure
from bench.site import Site, site

ROUNDS = 3


def measure(people: int, *, bar: float, memory_bar: float) -> list[Figure]:
    """µs a recipient, and the most memory of the process as so many times that for 10,000."""
    with site("servers", relay="smtp://127.0.0.1:1") as made:
        made.run("-m", "bench.world", str(people))
        few = [expand_once(made, "Bench few") for _ in range(ROUNDS)]
        many = [expand_once(made, "Bench") for _ in range(ROUNDS)]
    costs = [1e6 * done["seconds"] / done["recipients"] for done in many]
    small, large = (max(done["megabytes"] for done in runs) for runs in (few, many))
    return [
        Figure(
            "expansion", statistics.median(costs), bar, f"µs a recipient, {people:,} of them",
            good="low",
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
        json.dumps({"seconds": seconds, "recipients": prepared.total, "megabytes": most_memory()})
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
