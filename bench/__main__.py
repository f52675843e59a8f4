"""`make bench`, `make bench ONLY=name`: one line a figure, NAME value=… bar=… ok|short.

Most are ratios to a peer or a limit that was measured in the same minute, because absolute rates
move with the machine. A peer's own line has neither a bar nor a verdict. SIZE=1000000 is the
audience of `expansion`, of the long run, of `small_beside_large` and of the admin's pages.
docs/performance.md keeps the last figures.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from bench import admin, distance, expansion, fairness, long_run, throughput
from bench.figures import Figure
from bench.postfix import MissingToolError


def size(default: int) -> int:
    return int(os.environ.get("SIZE") or default)


# Those that are measured together stand together.
FIGURES: dict[tuple[str, ...], Callable[[], list[Figure]]] = {
    ("run_on_servers", "peer_smtplib", "peer_post_office"): lambda: throughput.measure(
        "servers", bar=0.8
    ),
    ("run_embedded",): lambda: throughput.measure("embedded", bar=0.5),
    ("far_away",): lambda: [distance.measure(bar=3.5)],
    ("far_away_chunking",): lambda: [distance.measure(chunking=True, bar=10)],
    ("expansion", "expansion_memory"): lambda: expansion.measure(
        size(1_000_000), bar=1.58, memory_bar=1.05
    ),
    ("cost_per_message", "memory", "memory_growth"): lambda: long_run.measure(
        size(200_000), cost_bar=1.2, memory_bar=150, growth_bar=1.05
    ),
    ("small_beside_large",): lambda: fairness.measure(size(200_000), bar=10),
    ("admin_list", "admin_search", "admin_run_page"): lambda: admin.measure(
        "servers", size(1_000_000), bar=150
    ),
    ("admin_list_embedded", "admin_search_embedded", "admin_run_page_embedded"): lambda: (
        admin.measure("embedded", size(1_000_000), bar=150)
    ),
}


def main(only: list[str]) -> int:
    known = [name for names in FIGURES for name in names]
    unknown = set(only) - set(known)
    if unknown:
        print(f"There is no figure {', '.join(sorted(unknown))}; there are {', '.join(known)}.")
        return 2
    wanted = [names for names in FIGURES if not only or set(names) & set(only)]
    return max(measure(names) for names in wanted)


def measure(names: tuple[str, ...]) -> int:
    """Print a line for each of them; 2 when something that they need is missing."""
    try:
        for figure in FIGURES[names]():
            print(figure, flush=True)
    except MissingToolError as error:
        print(f"{', '.join(names)}: not measured. {error}", flush=True)
        return 2
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # Once: a second one would interrupt the cleaning up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("Interrupted.")
        sys.exit(130)
