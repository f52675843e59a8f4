"""The source editor of messages: what it saves, what it shows, how one leaves it."""

import os

# Playwright keeps an event loop in this thread, and Django would take our queries for its own.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from mailer.models import Message
from mailer.tests.factories import make_message, make_recipient

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

LONG = "".join(f"<p>Line {n}</p>\n" for n in range(1, 201))


@pytest.fixture
def message(transactional_db: None) -> Message:
    make_recipient(attributes={"city": "Rome"})
    return make_message(html="<p>Hello {{ name }}</p>\n", text="Hello\n")


def open_form(page: Page, message: Message) -> tuple[Locator, Locator]:
    """The form of a message; where its HTML and its text are written."""
    page.goto(f"/admin/mailer/message/{message.pk}/change/")
    return page.get_by_role("textbox", name="HTML"), page.get_by_role("textbox", name="Plain text")


def save(page: Page) -> None:
    page.get_by_role("button", name="Save and continue editing").click()


def test_what_is_typed_is_saved(page: Page, message: Message) -> None:
    html, text = open_form(page, message)
    heard = page.evaluate_handle(
        """() => {
            const heard = [];
            document.addEventListener("input", (event) => heard.push(event.target.value));
            return heard;
        }"""
    )
    html.click()
    page.keyboard.press("Control+End")
    page.keyboard.type('<a href="/?c={{ ci')
    page.get_by_role("option", name="city").click()  # it closes the braces
    page.keyboard.type('">Away</a>')
    expected = '<p>Hello {{ name }}</p>\n<a href="/?c={{ city }}">Away</a>'
    expect(page.locator("#id_html")).to_have_value(expected)
    assert expected in heard.evaluate("heard => heard")
    text.click()
    page.keyboard.press("Control+End")
    page.keyboard.type("and goodbye")
    page.keyboard.press("Control+z")
    page.keyboard.type("again")
    save(page)
    expect(page.locator(".messagelist")).to_contain_text("changed successfully")
    current = message.current
    assert current is not None
    assert (current.html, current.text) == (expected, "Hello\nagain")


def test_typing_over_lines_adds_no_style(page: Page, message: Message) -> None:
    """A browser would add some, to keep the look of what was there; the policy refuses it."""
    html, _text = open_form(page, message)
    html.fill('<a href="{{ link }}">one</a>\n<b style="color: red">two</b>\nthree')
    page.keyboard.press("Control+Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.type("i>")
    expect(page.locator("#id_html")).to_have_value("<i>hree")
    html.fill(LONG)  # more lines than are drawn
    page.keyboard.press("Control+a")
    page.keyboard.type("x")
    expect(page.locator("#id_html")).to_have_value("x")


def test_what_another_script_writes_is_shown(page: Page, message: Message) -> None:
    html, _text = open_form(page, message)
    page.evaluate(
        """() => {
            const field = document.getElementById("id_html");
            field.value = "<b>By a script</b>";
            field.dispatchEvent(new Event("change", {bubbles: true}));
        }"""
    )
    expect(html).to_have_text("<b>By a script</b>")


def test_the_line_that_is_wrong_is_shown_with_its_reason(page: Page, message: Message) -> None:
    html, _text = open_form(page, message)
    html.fill(LONG.replace("Line 150<", "{{ name|nonsense }}<"))
    save(page)
    wrong = page.locator(".source-html .source-wrong")
    expect(wrong).to_have_text("<p>{{ name|nonsense }}</p>")
    expect(wrong).to_be_in_viewport()
    expect(html).to_contain_text("Line 150: there is no filter")
    expect(html).to_have_attribute("aria-invalid", "true")
    described = html.get_attribute("aria-describedby") or ""
    assert "id_html_error" in described.split()
    # The mark goes where its line goes.
    page.get_by_text("HTML:", exact=True).click()
    page.keyboard.press("Home")
    page.keyboard.type("<hr>")
    page.keyboard.press("Enter")
    expect(wrong).to_have_text("<p>{{ name|nonsense }}</p>")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+f")
    page.keyboard.type("nonsense")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.type("upper")
    save(page)
    expect(page.locator(".messagelist")).to_contain_text("changed successfully")
    expect(page.locator(".source-wrong")).to_have_count(0)


def test_tab_goes_through_it(page: Page, message: Message) -> None:
    html, text = open_form(page, message)
    page.locator("#id_reply_to").focus()
    page.keyboard.press("Tab")
    expect(html).to_be_focused()
    expect(page.locator("#id_html_keys")).to_contain_text("Tab leaves the field")
    page.keyboard.type("x")
    page.keyboard.press("Tab")
    expect(text).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(html).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#id_reply_to")).to_be_focused()
    assert "\t" not in page.locator("#id_html").input_value()


def test_its_colours_follow_the_theme_at_once(page: Page, message: Message) -> None:
    html, _text = open_form(page, message)
    editor = page.locator(".source-html .cm-editor")
    name = html.locator(".source-template").first
    page.emulate_media(color_scheme="light")
    expect(editor).to_have_css("background-color", "rgb(255, 255, 255)")
    light = name.evaluate("mark => getComputedStyle(mark).color")
    page.emulate_media(color_scheme="dark")
    expect(editor).to_have_css("background-color", "rgb(18, 23, 29)")
    expect(name).not_to_have_css("color", light)
    page.locator("html").evaluate("html => { html.dataset.theme = 'light'; }")  # the admin's choice
    expect(editor).to_have_css("background-color", "rgb(255, 255, 255)")
    expect(name).to_have_css("color", light)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_while_it_is_used(page: Page, message: Message, scheme: str) -> None:
    tab = page.context.new_page()  # axe itself tries what the policy forbids
    tab.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    html, text = open_form(tab, message)
    html.fill('<style>p { color: red }</style>\n<p class="a">{% if name|x %}&amp; <!-- no -->')
    save(tab)
    expect(tab.locator(".source-wrong")).to_be_visible()
    text.click()
    tab.keyboard.press("Control+f")
    html.click()
    tab.keyboard.press("Control+End")
    tab.keyboard.type("{{ ")
    expect(tab.get_by_role("option", name="city")).to_be_visible()
    found = Axe().run(tab).response["violations"]
    tab.close()
    assert [
        (violation["id"], [node["html"][:200] for node in violation["nodes"]])
        for violation in found
        if violation["impact"] in {"serious", "critical"}
    ] == []


def test_lines_wrap_on_a_phone(page: Page, message: Message) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    html, _text = open_form(page, message)
    html.fill("<p>" + 40 * "many words " + 300 * "x" + "</p>")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    scroller = page.locator(".source-html .cm-scroller")
    assert scroller.evaluate("scroller => scroller.scrollWidth - scroller.clientWidth") <= 0


def test_a_version_is_read_in_colour_and_not_changed(page: Page, message: Message) -> None:
    version = message.current
    assert version is not None
    page.goto(f"/admin/mailer/messageversion/{version.pk}/change/")
    html = page.get_by_role("textbox", name="HTML")
    expect(html).to_have_attribute("aria-readonly", "true")
    expect(html.locator(".source-template")).to_have_text("{{ name }}")
    html.focus()
    page.keyboard.type("changed")
    expect(html).to_have_text("<p>Hello {{ name }}</p>")


def test_without_script_it_is_a_field(page: Page, message: Message) -> None:
    state = page.context.storage_state()
    assert page.context.browser is not None
    address = page.url.split("/admin/")[0]
    context = page.context.browser.new_context(
        java_script_enabled=False, storage_state=state, base_url=address
    )
    tab = context.new_page()
    tab.goto(f"/admin/mailer/message/{message.pk}/change/")
    tab.fill("#id_html", "<p>By hand</p>")
    save(tab)
    context.close()
    current = message.current
    assert current is not None
    assert current.html == "<p>By hand</p>"
