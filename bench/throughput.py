"""A run of 50,000 through the whole system, against what smtp-source does to the same relay."""

from __future__ import annotations

import statistics
import time
from datetime import datetime

from bench import postfix
from bench.figures import Figure
from bench.site import Kind, Site, site

RECIPIENTS = 50_000
ROUNDS = 3
PROCESSES = 2


def measure(kind: Kind, *, bar: float) -> Figure:
    """Messages a second from the start of a run to its last record, as a part of S5's."""
    ratios, rates = [], []
    with postfix.sink() as port, site(kind, relay=f"smtp://127.0.0.1:{port}") as made:
        made.run("-m", "bench.world", str(RECIPIENTS))
        made.start_all(processes=PROCESSES)
        for _ in range(ROUNDS):
            limit = postfix.measure_source(port)
            rates.append(send(made))
            ratios.append(rates[-1] / limit)
    detail = f"{statistics.median(rates):.0f} messages a second, {PROCESSES} processes"
    name = {"servers": "run_on_servers", "embedded": "run_embedded"}[kind]
    return Figure(name, statistics.median(ratios), bar, detail)


def send(made: Site) -> float:
    """Send the mailing once; messages a second. Raises RuntimeError if one did not arrive."""
    run = int(made.run("manage.py", "start_mailing", "Bench"))
    while (report := made.report(run))["state"] != "finished":
        if report["state"] not in {"scheduled", "preparing", "sending"}:
            raise RuntimeError(f"run {run}: {report}")
        time.sleep(0.5)
    if report["by_state"].get("sent") != RECIPIENTS:
        raise RuntimeError(f"run {run}: {report['by_state']}")
    took = datetime.fromisoformat(report["finished"]) - datetime.fromisoformat(report["started"])
    return RECIPIENTS / took.total_seconds()
