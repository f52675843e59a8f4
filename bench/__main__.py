"""`make bench`, `make bench ONLY=name`: one line a figure, NAME value=… bar=… ok|short.

Every figure is a ratio to a peer or a limit that was measured in the same minute, because absolute
rates move with the machine. docs/performance.md keeps the last ones.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from bench import distance, throughput
from bench.figures import Figure
from bench.postfix import MissingToolError

FIGURES: dict[str, Callable[[], Figure]] = {
    "run_on_servers": lambda: throughput.measure("servers", bar=0.8),
    "run_embedded": lambda: throughput.measure("embedded", bar=0.5),
    "far_away": lambda: distance.measure(bar=3.5),
    "far_away_chunking": lambda: distance.measure(chunking=True, bar=10),
}


def main(only: list[str]) -> int:
    unknown = set(only) - FIGURES.keys()
    if unknown:
        print(f"There is no figure {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}.")
        return 2
    for name in only or FIGURES:
        try:
            print(FIGURES[name](), flush=True)
        except MissingToolError as error:
            print(f"{name} was not measured: {error}", flush=True)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
