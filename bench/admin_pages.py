"""Run in the environment of a site with bench.big_tables: what each page of the admin takes.

Prints JSON, a row a page: the figure it belongs to, its address, and the median of a few times in
milliseconds. `python -m bench.admin_pages REGEX` asks only for addresses in which that is found,
and tells of each as it goes.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

import django

ROUNDS = 5
#: Of a page that is quicker or slower than these one time suffices.
QUICK, SLOW = 50, 3000


@dataclass(frozen=True, slots=True)
class Page:
    figure: str
    url: str
    #: An action on all that the list at this address shows: what asks whether it is meant.
    action: str = ""

    @property
    def name(self) -> str:
        return f"{self.url} {self.action}".strip()


class Admin:
    """The site as somebody sees it who may do everything."""

    def __init__(self) -> None:
        from django.contrib.auth.models import User
        from django.test import Client, RequestFactory

        self.client = Client(headers={"host": "127.0.0.1"})
        self.request: Any = RequestFactory().get("/")
        self.request.user = User.objects.get(username="chief")
        self.client.force_login(self.request.user)

    def ask(self, page: Page) -> Any:
        if page.action:
            data = {"action": page.action, "select_across": 1, "index": 0, "_selected_action": [1]}
            answer = self.client.post(page.url, data)
        else:
            answer = self.client.get(page.url)
        if answer.status_code not in {200, 302}:
            raise RuntimeError(f"{page.name}: {answer.status_code}")
        return answer

    def time(self, page: Page) -> float:
        """Milliseconds from the request to the rendered page."""
        begun = time.perf_counter()
        self.ask(page)
        return (time.perf_counter() - begun) * 1000


def main(wanted: str = "") -> None:
    from bench.admin_addresses import pages

    admin = Admin()
    took: dict[Page, list[float]] = {}
    for page in pages(admin):
        if re.search(wanted, page.name) and page not in took:
            admin.ask(page)  # what it needs is in memory from now on
            took[page] = [admin.time(page)]
            if wanted:
                print(f"{took[page][0]:8.1f} {page.name}", file=sys.stderr)
    # Again, one after the other: a moment in which the machine was busy spoils none of them.
    for _round in range(ROUNDS - 1):
        for page, times in took.items():
            if QUICK < times[0] < SLOW:
                times.append(admin.time(page))
    rows = [
        {"figure": page.figure, "page": page.name, "took": statistics.median(times)}
        for page, times in took.items()
    ]
    print(json.dumps(rows))


if __name__ == "__main__":
    django.setup()
    main(*sys.argv[1:])
