"""Parts of forms that a script changes: files of a message, kinds of a relay."""

import os

# Playwright keeps an event loop in this thread, and Django would take our queries for its own.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

import pytest
from playwright.sync_api import Page, expect

from mailer.models import MessageFile
from mailer.tests.factories import make_message
from tests.system.processes import Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def test_an_image_is_attached_and_shown_by_the_html(page: Page) -> None:
    page.goto(f"/admin/mailer/message/{make_message().pk}/change/")
    files = page.locator("#files-group")
    files.get_by_role("button", name="Add another File").click()
    image = {"name": "logo.png", "mimeType": "image/png", "buffer": b"\x89PNG"}
    page.set_input_files("#id_files-0-upload", files=[image])  # type: ignore[list-item]
    page.select_option("#id_files-0-kind", "inline")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator(".messagelist")).to_contain_text("the HTML has no cid:logo")
    page.get_by_role("textbox", name="HTML:").fill(files.locator("code").inner_text())
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator(".messagelist")).not_to_contain_text("cid:logo")
    assert MessageFile.objects.current().get().image_name == "logo"


@pytest.fixture
def backends(site: Site) -> None:
    site.environment["MAILER_BACKENDS"] = "django.core.mail.backends.smtp.EmailBackend"


def test_a_relay_shows_what_its_kind_needs(backends: None, page: Page) -> None:
    page.goto("/admin/mailer/relay/add/")
    for kind, shown in (("smtp", True), ("backend", False), ("smtp", True)):
        page.select_option("#id_kind", kind)
        for name in ("#id_host", "#id_security", "#id_password", ".field-environment"):
            expect(page.locator(name)).to_be_visible(visible=shown)
        expect(page.locator("#id_backend")).to_be_visible(visible=not shown)
    page.select_option("#id_kind", "backend")
    page.fill("#id_name", "Through Django")
    page.select_option("#id_backend", "django.core.mail.backends.smtp.EmailBackend")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#result_list")).to_contain_text("through django.core.mail")
