"""A real browser on a running site. Debian's Chromium: nothing is downloaded."""

import shutil
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, sync_playwright

from tests.system.conftest import broker, inbox, site
from tests.system.processes import Site

from .watching import open_tab

__all__ = ["broker", "inbox", "site"]

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    assert path, f"no browser: one of {', '.join(NAMES)} is needed"
    with sync_playwright() as playwright:
        # Without a sandbox: tests may run as root, and open nothing but this site.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """Logged in as an administrator; fails for whatever the browser complains of."""
    User.objects.create_superuser("admin", password="a-long-password")
    address = site.start_web()
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    page, complaints = open_tab(context)
    page.goto("/admin/login/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", "a-long-password")
    page.click("[type=submit]")
    yield page
    context.close()
    assert not complaints, "\n".join(complaints)
