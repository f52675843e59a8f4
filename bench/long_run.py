"""A long run: what a message costs in it, and what the processes of the pool grow to."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path

from bench import postfix
from bench.figures import Figure
from bench.site import Site, site
from bench.throughput import PROCESSES
from bench.world import FEW

ROUNDS = 2  # short runs before the long one, and as many behind it
LOOK = 1.0  # second between two looks at the processes


def measure(people: int, *, cost_bar: float, memory_bar: float, growth_bar: float) -> list[Figure]:
    """Time per message as so many times a short run's; MB of the largest process; its growth."""
    with postfix.sink() as port, site("servers", relay=f"smtp://127.0.0.1:{port}") as made:
        made.run("-m", "bench.world", str(people))
        pool = Pool(made.start_all(processes=PROCESSES))
        shorts = [cost(made, made.start_mailing("Bench few")) for _ in range(ROUNDS)]
        run = made.start_mailing("Bench")
        long = cost(made, run, look=pool.look)
        shorts += [cost(made, made.start_mailing("Bench few")) for _ in range(ROUNDS)]
        rates = rates_over_time(made, run)
    short = statistics.median(shorts)
    most, growth = max(map(max, pool.looks)), grown(pool.looks)
    return [
        Figure(
            "cost_per_message", long / short, cost_bar,
            f"µs a message: {long:.0f} among {people:,}, {short:.0f} among {FEW:,}; "
            f"messages a second in each tenth: {' '.join(f'{rate:.0f}' for rate in rates)}",
            good="low",
        ),
        Figure(
            "memory", most, memory_bar,
            f"MB of the largest of {PROCESSES} processes in a run of {people:,}", good="low",
        ),
        Figure(
            "memory_growth", growth, growth_bar,
            "the last quarter of the run against the second", good="low",
        ),
    ]  # fmt: skip


def cost(made: Site, run: int, *, look: Callable[[], object] = lambda: None) -> float:
    """µs a message between the first tenth of a run's outcomes and the last.

    What comes before has a figure of its own, and that the last batch goes alone weighs on a short
    run only.
    """
    made.finish(run, look=look, every=LOOK)
    with made.connect() as connection:
        (micros,) = connection.execute(
            "SELECT 1e6 * EXTRACT(epoch FROM times[2] - times[1]) / (0.8 * count) FROM ("
            "SELECT PERCENTILE_DISC(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY settled_at) AS times, "
            f"COUNT(*) AS count FROM mailer_delivery WHERE run_id = {run}) AS settled"
        ).fetchone() or (0,)
    return float(micros)


def rates_over_time(made: Site, run: int) -> list[float]:
    """Messages a second in each tenth of the run, by the times of their outcomes."""
    with made.connect() as connection:
        tenths = connection.execute(
            "SELECT COUNT(*) / EXTRACT(epoch FROM MAX(settled_at) - MIN(settled_at)) FROM ("
            "SELECT settled_at, NTILE(10) OVER (ORDER BY settled_at) AS tenth "
            f"FROM mailer_delivery WHERE run_id = {run}) AS settled GROUP BY tenth ORDER BY tenth"
        ).fetchall()
    return [float(rate) for (rate,) in tenths]


class Pool:
    """The processes of one worker; `looks` holds the MB of each of them, look by look."""

    def __init__(self, worker: subprocess.Popen[bytes]) -> None:
        self._worker = worker
        self.looks: list[list[float]] = []

    def look(self) -> None:
        listed = Path(f"/proc/{self._worker.pid}/task/{self._worker.pid}/children").read_text()
        self.looks.append([memory(int(pid)) for pid in listed.split()])


def memory(pid: int) -> float:
    """A process's proportional share of memory, in MB: what it shares is divided by the sharers."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the system does not say what process {pid} holds")


def grown(looks: list[list[float]]) -> float:
    """What the processes hold together: the last quarter of the looks against the second."""
    together = [sum(look) for look in looks]
    quarter = len(together) // 4
    return statistics.mean(together[-quarter:]) / statistics.mean(together[quarter : 2 * quarter])
