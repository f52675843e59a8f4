"""A run of 50,000 through the whole system, against what smtp-source does to the same relay."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from bench import peers, postfix
from bench.figures import Figure
from bench.site import Kind, Site, site

RECIPIENTS = 50_000
ROUNDS = 3
PROCESSES = 2
NAMES: dict[Kind, str] = {"servers": "run_on_servers", "embedded": "run_embedded"}


def measure(kind: Kind, *, bar: float) -> list[Figure]:
    """Messages a second of a run, as a part of S5's; on servers, those of its peers as well."""
    with (
        postfix.sink() as port,
        (peers.beside if kind == "servers" else alone)(port) as others,
        site(kind, relay=f"smtp://127.0.0.1:{port}") as made,
    ):
        made.run("-m", "bench.world", str(RECIPIENTS))
        made.start_all(processes=PROCESSES)
        made.finish(made.start_mailing("Bench few"))  # all are up, and none is measured starting
        ways = {NAMES[kind]: lambda: send(made), **others}
        limits, rates = interleave(lambda: postfix.measure_source(port), ways)
    return [
        Figure(
            name,
            statistics.median(
                rate / limit for rate, limit in zip(rates[name], limits, strict=True)
            ),
            None if name in others else bar,
            f"{statistics.median(rates[name]):.0f} messages a second",
        )
        for name in ways
    ]


@contextmanager
def alone(_port: int) -> Iterator[dict[str, Callable[[], float]]]:
    yield {}


def interleave(
    measure_limit: Callable[[], float], ways: dict[str, Callable[[], float]]
) -> tuple[list[float], dict[str, list[float]]]:
    """Round by round the limit and each of the ways, for the machine's speed moves."""
    limits, rates = [], {name: list[float]() for name in ways}
    for _ in range(ROUNDS):
        limits.append(measure_limit())
        for name, measure_way in ways.items():
            rates[name].append(measure_way())
    return limits, rates


def send(made: Site) -> float:
    """Send the mailing once; messages a second from its start to its last record."""
    report = made.finish(made.start_mailing("Bench"))
    took = datetime.fromisoformat(report["finished"]) - datetime.fromisoformat(report["started"])
    return float(report["total"]) / took.total_seconds()
