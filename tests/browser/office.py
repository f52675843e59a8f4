"""A whole site at work for a module of tests, and the people who sit before it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page

from faults.relay import RecordingRelay
from mailer.management.commands.load_demo import PASSWORD
from tests.system.brokers import Files
from tests.system.processes import ROOT, Site

from .watching import open_tab

DESKTOP, PHONE = (1280, 900), (390, 844)


@dataclass(frozen=True, slots=True)
class People:
    """A list, and who is on it, in the order in which they are written to."""

    name: str
    addresses: list[str]


with (ROOT / "fixtures/recipients-newsletter.csv").open(encoding="utf-8", newline="") as _file:
    READERS = People("Newsletter readers", [row["address"] for row in csv.DictReader(_file)])
FRIENDS = People("Friends of the paper", [f"friend{n}@mail.example" for n in range(1, 121)])


@dataclass(frozen=True, slots=True)
class Office:
    """The demo's people, lists, messages and mailings, of which nothing is due for days; a relay
    that can be told how to behave; web, worker, control and beat."""

    browser: Browser
    site: Site
    relay: RecordingRelay
    address: str

    @contextmanager
    def desk(self, who: str, *, phone: bool = False, dark: bool = False) -> Iterator[Page]:
        """A browser of one's own, logged in; whatever there was to complain of fails the test."""
        width, height = PHONE if phone else DESKTOP
        context = self.browser.new_context(
            base_url=self.address,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
        )
        page, complaints = open_tab(context)
        page.goto("/admin/")
        page.get_by_label("Username").fill(who)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/admin/")
        try:
            yield page
        finally:
            context.close()
        assert not complaints, "\n".join(complaints)


@contextmanager
def open_office(browser: Browser, folder: Path) -> Iterator[Office]:
    with ExitStack() as stack:
        relay = stack.enter_context(RecordingRelay(folder / "accepted.jsonl"))
        site = Site(
            folder,
            broker_url=Files(f"filesystem://{folder / 'broker'}").url,
            relay_url=relay.url,
            DATABASE_URL=f"sqlite:///{folder / 'office.sqlite3'}",
            MAILER_BATCH_SIZE="500",
            MAILER_SMTP_DOT_TIMEOUT="2",
        )
        stack.callback(site.stop_all)
        site.run("-m", "tests.browser.furnish")
        site.start_control(), site.start_worker(), site.start_beat()
        yield Office(browser, site, relay, site.start_web())
