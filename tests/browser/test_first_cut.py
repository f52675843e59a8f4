"""Staff at work in a browser: send now, watch it, look at what failed, send that again."""

import os
from pathlib import Path

# Playwright keeps an event loop in this thread, and Django would take our queries for its own.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from mailer.models import Delivery, Mailing, MessageFile, Run, Suppression
from mailer.tests.factories import make_mailing, make_message, make_relay, make_run
from tests.system.inbox import Inbox
from tests.system.processes import Site, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PAGES = (
    "mailer/mailing/", "mailer/message/", "mailer/recipient/", "mailer/mailinglist/",
    "mailer/run/", "mailer/delivery/", "mailer/relay/", "mailer/suppression/", "mailer/audit/",
    "mailer/batch/", "mailer/subscription/", "django_celery_results/taskresult/",
    "django_celery_beat/periodictask/", "mailer/mailing/add/", "mailer/message/add/",
    "mailer/recipient/add/", "mailer/relay/add/", "django_celery_beat/periodictask/add/",
)  # fmt: skip


@pytest.fixture
def mailing(transactional_db: None) -> Mailing:
    return make_mailing(
        recipients=60,
        name="Weekly news",
        message=make_message(name="News of week 47"),
        relay=make_relay(name="Office relay"),
    )


def test_send_watch_and_retry(page: Page, site: Site, inbox: Inbox, mailing: Mailing) -> None:
    refused = mailing.lists.get().recipients.order_by("pk")[7].address
    inbox.answer = lambda address, _before: "550 5.1.7 no" if address == refused else ""
    site.start_control(), site.start_worker(), site.start_beat()

    page.goto(f"/admin/mailer/mailing/{mailing.pk}/change/")
    page.get_by_role("link", name="Send now").click()
    expect(page.locator("#content")).to_contain_text("60")
    page.get_by_role("button", name="Send").dblclick()
    page.wait_for_url("**/admin/mailer/run/*/change/")
    # Live: nobody reloads the page.
    expect(page.locator("#content")).to_contain_text("60 of 60", timeout=90_000)
    expect(page.locator("#content")).to_contain_text("550 5.1.7")
    run = Run.objects.get()  # a double click is one run
    assert (run.sent, run.failed, run.trigger) == (59, 1, "staff")

    expect(page.get_by_role("link", name="Cancel run")).to_have_count(0)
    page.get_by_role("link", name="See them").click()
    page.get_by_role("link", name=refused).click()
    expect(page.locator("#content")).to_contain_text("550 5.1.7 no")
    inbox.answer = lambda _address, _before: ""
    page.goto(f"/admin/mailer/run/{run.pk}/change/")
    page.get_by_role("link", name="Retry").first.click()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#content")).to_contain_text("60 of 60", timeout=60_000)
    assert inbox.addresses.count(refused) == 1
    assert len(inbox.accepted) == 60


def test_a_run_explains_itself(page: Page, site: Site, inbox: Inbox, mailing: Mailing) -> None:
    """With SCREENSHOTS=docs/images it takes the README's picture."""
    people = [person.address for person in mailing.lists.get().recipients.order_by("pk")]
    replies = {
        **dict.fromkeys(people[3:7], "550 5.1.1 no such user"),
        **dict.fromkeys(people[20:22], "554 5.7.1 refused by policy"),
        people[40]: "452 4.2.2 mailbox full",
    }
    inbox.answer = lambda address, _before: replies.get(address, "")
    site.environment["MAILER_RETRY_SECONDS"] = "3600"
    site.start_control(), site.start_worker(), site.start_beat()
    run = Run.objects.get(pk=int(site.manage("start_mailing", mailing.name)))
    wait_until(
        lambda: Run.objects.filter(pk=run.pk, first_pass_finished_at__isnull=False).exists(),
        what="everybody was tried once",
    )
    page.goto(f"/admin/mailer/run/{run.pk}/change/")
    content = page.locator("#content")
    for words in ("Sent 53", "Will retry 1", "Failed 6", "mailbox does not exist", "550 5.1.1"):
        expect(content).to_contain_text(words)
    assert Suppression.objects.count() == 4

    inbox.answer = lambda _address, _before: ""
    Delivery.objects.filter(run=run, state="deferred").update(retry_at=timezone.now())
    # The page itself notices, buttons and all: nobody reloads it.
    expect(page.get_by_role("link", name="Cancel run")).to_have_count(0, timeout=60_000)
    for words in ("Sent 54", "Failed 6", "60 of 60"):
        expect(content).to_contain_text(words)
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / "run.png", full_page=True)


def test_an_image_is_attached_and_shown_by_the_html(page: Page, mailing: Mailing) -> None:
    page.goto(f"/admin/mailer/message/{mailing.message_id}/change/")
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


def test_no_page_breaks_the_content_security_policy(page: Page, mailing: Mailing) -> None:
    for address in PAGES:
        response = page.goto(f"/admin/{address}")
        assert response is not None
        assert response.status == 200, address
        assert "script-src 'self'" in response.headers["content-security-policy"]


def test_pages_fit_a_phone(page: Page, mailing: Mailing) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    for address in (*PAGES, f"mailer/mailing/{mailing.pk}/change/"):
        page.goto(f"/admin/{address}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{address} is {wide} px wide"


def test_a_phone_shows_what_failed_and_what_it_means(page: Page, mailing: Mailing) -> None:
    run = make_run(mailing=mailing)
    run.deliveries.update(state="failed", problem="550 5.1.1", code=550, reply="5.1.1 no such user")
    Run.objects.update(failed=run.total, pending=0)
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"/admin/mailer/run/{run.pk}/change/")
    for cell in (page.get_by_text("mailbox does not exist"), page.get_by_text("Retry…").last):
        assert_within(cell, 390)
    page.goto("/admin/mailer/delivery/")
    row = page.locator("#result_list tbody tr").first
    for column in ("address", "badge", "why"):
        assert_within(row.locator(f".field-{column}"), 390)
    assert row.bounding_box()["height"] < 60


def assert_within(cell: Locator, width: int) -> None:
    box = cell.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= width
