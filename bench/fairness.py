"""How long a run of 100 takes that begins while a large one is being sent through its relay."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from bench import postfix
from bench.figures import Figure
from bench.site import Site, site
from bench.throughput import PROCESSES
from bench.world import SMALL
from tests.system.processes import wait_until

ROUNDS = 5


def measure(people: int, *, bar: float) -> list[Figure]:
    """Seconds of the slowest of a few small runs, one after the other; default settings."""
    with postfix.sink() as port, site("servers", relay=f"smtp://127.0.0.1:{port}") as made:
        made.run("-m", "bench.world", str(people))
        made.start_all(processes=PROCESSES)
        made.finish(made.start_mailing("Bench few"))  # all are up
        large = made.start_mailing("Bench")
        wait_until(lambda: read(made, "sent", large) > people / 20, what="it goes on", seconds=600)
        took = []
        for _ in range(ROUNDS):
            run = made.start_mailing("Bench small")
            made.finish(run)
            took.append(float(read(made, _SECONDS, run)))
        sent = read(made, "sent", large)
        if read(made, "pending", large) == 0:
            raise RuntimeError(f"a run of {people:,} was through too soon: choose a larger SIZE")
    return [
        Figure(
            "small_beside_large", max(took), bar,
            f"seconds, the slowest; {' '.join(f'{seconds:.1f}' for seconds in took)} for {SMALL} "
            f"messages each, from asking for them to the last record; {sent:,} of {people:,} of "
            "the large run were sent by then", good="low",
        )
    ]  # fmt: skip


_SECONDS = "EXTRACT(epoch FROM finished_at - created_at)"


def read(made: Site, value: str, run: int) -> Any:
    """A column of a run, or what SQL makes of its columns."""
    with closing(made.connect()) as connection:
        asked = connection.execute(f"SELECT {value} FROM mailer_run WHERE id = {run}")
        return (asked.fetchone() or (0,))[0]
