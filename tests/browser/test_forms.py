"""Forms that answer while they are filled in, and a preview that does nothing but show."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Playwright keeps an event loop in this thread, and Django would take our queries for its own.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

import pytest
from playwright.sync_api import Page, expect

from mailer.tests.factories import make_list, make_mailing, make_message, make_relay

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

HOSTILE = """<meta http-equiv="refresh" content="0; url=ELSEWHERE/refresh">
<base href="ELSEWHERE/base/">
<link rel="stylesheet" href="ELSEWHERE/style.css">
<style>body { background: url(ELSEWHERE/background.png) } p { color: red }</style>
<script>document.title = "script"; top.location = "ELSEWHERE/script"</script>
<img src="ELSEWHERE/image.png" onerror="top.document.title = 'handler'" alt="">
<form action="ELSEWHERE/form"><button id="go">Go</button></form>
<p id="words">Hello {{ name }}</p>
<a id="away" href="ELSEWHERE/link" target="_top">Away</a>"""


def test_the_form_says_to_how_many_and_when(page: Page, transactional_db: None) -> None:
    more = make_list("More people", recipients=2)
    mailing = make_mailing(recipients=3, relay=make_relay())
    page.goto(f"/admin/mailer/mailing/{mailing.pk}/change/")
    audience = page.locator("[data-outlook-fields=lists]")
    expect(audience).to_have_text("3 people.")
    page.get_by_label("More people").check()
    expect(audience).to_have_text("5 people.")
    assert list(mailing.lists.exclude(pk=more.pk)) == list(mailing.lists.all())  # nothing is saved

    sends = page.locator("[data-outlook-fields~=schedule_kind]")
    page.get_by_label("When:").select_option("weekly")
    expect(sends).to_have_text("Tick at least one weekday.")
    page.get_by_label("Monday").check()
    expect(sends.locator("li")).to_have_count(10)
    expect(sends.locator("li").first).to_contain_text("Mon ")
    page.get_by_label("Monday").uncheck()
    page.get_by_label("Friday").check()
    expect(sends.locator("li").first).to_contain_text("Fri ")


def test_one_of_many_lists_is_looked_for_by_typing(page: Page, transactional_db: None) -> None:
    mailing = make_mailing(recipients=3, relay=make_relay())
    for number in range(25):
        make_list(f"Another {number}")
    make_list("More people", recipients=2)
    page.goto(f"/admin/mailer/mailing/{mailing.pk}/change/")
    audience = page.locator("[data-outlook-fields=lists]")
    expect(audience).to_have_text("3 people.")
    page.get_by_role("searchbox", name="Lists").click()
    page.keyboard.type("more")
    page.get_by_role("option", name="More people").click()
    expect(audience).to_have_text("5 people.")

    page.goto("/admin/mailer/mailing/")
    page.locator("#changelist-filter").get_by_role("combobox", name="Lists").click()
    page.keyboard.type("more")
    page.get_by_role("option", name="More people").click()
    expect(page.get_by_text("No mailings are like that.")).to_be_visible()


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """Another server's address, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        do_POST = do_GET  # noqa: N815  # a form would post

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_a_hostile_message_is_shown_and_does_nothing(
    page: Page, elsewhere: tuple[str, list[str]], transactional_db: None
) -> None:
    other, asked = elsewhere
    html = HOSTILE.replace("ELSEWHERE", other)
    version = make_message(subject="Hello", html=html, text="").current
    assert version is not None
    tab = page.context.new_page()  # the first one must not complain, and this one has to
    address = f"/admin/mailer/messageversion/{version.pk}/preview/"
    tab.goto(address, wait_until="networkidle")
    frame = tab.frame_locator("iframe.preview-frame")
    expect(frame.locator("#words")).to_have_text("Hello [name]")
    expect(frame.locator("#words")).to_have_css("color", "rgb(255, 0, 0)")
    frame.locator("#go").click()
    frame.locator("#away").click()
    expect(frame.locator("#words")).to_be_visible()
    tab.goto(f"{address}frame/", wait_until="networkidle")  # also by itself
    expect(tab.locator("#words")).to_have_text("Hello [name]")
    assert "script" not in tab.title()
    assert "handler" not in tab.title()
    assert asked == []
    # It would have told: the same in a page without the frame's policy.
    tab.goto("about:blank")
    tab.set_content(html.replace(' http-equiv="refresh"', ""), wait_until="networkidle")
    assert asked
    tab.close()
