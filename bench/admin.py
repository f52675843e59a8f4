"""What the slowest page of the admin takes, of its lists, searches and runs, in milliseconds.

In the environment of a site with tables as they are after years: bench.big_tables makes them,
bench.admin_pages asks for every page.
"""

from __future__ import annotations

import json

from bench.figures import Figure
from bench.site import Kind, site

FIGURES = ("admin_list", "admin_search", "admin_run_page")


def measure(kind: Kind, people: int, *, bar: float) -> list[Figure]:
    """Of so many people; on servers each of five runs went to all of them."""
    with site(kind, relay="smtp://127.0.0.1:1") as made:
        made.run("-m", "bench.big_tables", str(people), *(["full"] if kind == "servers" else []))
        rows = json.loads(made.run("-m", "bench.admin_pages"))
    ending = "" if kind == "servers" else "_embedded"
    return [_slowest(name, rows, bar=bar, ending=ending, people=people) for name in FIGURES]


def _slowest(
    name: str, rows: list[dict[str, object]], *, bar: float, ending: str, people: int
) -> Figure:
    of_this = [row for row in rows if row["figure"] == name]
    times = {str(row["page"]): float(str(row["milliseconds"])) for row in of_this}
    page = max(times, key=lambda page: times[page])
    over = sum(took > bar for took in times.values())
    detail = f"ms, {people:,} people; {over} of {len(times)} pages over the bar; slowest {page}"
    return Figure(name + ending, times[page], bar, detail, good="low")
