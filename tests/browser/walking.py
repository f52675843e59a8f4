"""Going wherever a page leads, one page of each kind."""

import re
from collections.abc import Mapping

from playwright.sync_api import Page

#: Not pages, but a form's own end, scripts and files; nor the half of one in a window of its own.
LEFT_OUT = re.compile(r"/(logout|jsi18n|export|file)/|_popup=1")
_HREFS = "links => links.map(link => link.getAttribute('href').split('#')[0])"


def walk(page: Page, *, like: Mapping[str, str] | None = None) -> dict[str, str]:
    """Open, from Home on, whatever is offered by a link; an address of each kind of page, where
    there is one the same as on another walk.

    What a page has to complain of, open_tab's list holds; a refused one is among it.
    """
    seen: dict[str, str] = {}
    ahead = ["/admin/"]
    for address in ahead:
        kind = kind_of(address)
        if kind in seen or LEFT_OUT.search(address):
            continue
        seen[kind] = (like or {}).get(kind, address)
        page.goto(seen[kind])
        ahead += page.locator("a[href^='/admin/']").evaluate_all(_HREFS)
    return seen


def kind_of(address: str) -> str:
    """The address without what is asked of the page, and for any object."""
    return re.sub(r"/\d+/", "/…/", address.partition("?")[0])
