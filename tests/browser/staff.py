"""What staff do in a browser, a step a function: clicks and keys on what their pages offer."""

from __future__ import annotations

import csv
import os
from datetime import datetime
from pathlib import Path

from playwright.sync_api import FloatRect, Locator, Page, expect


def open_home(page: Page) -> None:
    page.get_by_role("link", name="Mailroom", exact=True).click()


def open_list(page: Page, name: str) -> None:
    """By Home, which lists everything, on a phone as well."""
    open_home(page)
    page.locator("#content-main").get_by_role("link", name=name, exact=True).click()


def ask(page: Page, action: str) -> None:
    """Press a button above an object's page, and be asked."""
    page.locator(".object-tools").get_by_role("link", name=action).click()
    expect(page.locator(".confirm-question")).to_be_visible()


def confirm(page: Page, button: str) -> Locator:
    """Answer what is asked; what the next page says was done."""
    page.get_by_role("button", name=button, exact=True).click()
    return page.locator(".messagelist")


def save(page: Page) -> None:
    page.get_by_role("button", name="Save and continue editing").click()


def write_source(page: Page, label: str, text: str) -> None:
    """Write all of a source anew, be its field a text area or an editor in the place of one."""
    page.get_by_label(label).filter(visible=True).click()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.insert_text(text)


def begin_message(page: Page, *, name: str, subject: str) -> None:
    open_list(page, "Messages")
    page.get_by_role("link", name="Add message").click()
    page.get_by_label("Name:", exact=True).fill(name)
    page.get_by_label("Subject:").fill(subject)
    page.get_by_label("From: name:").fill("The Mailroom")
    page.get_by_label("From: address:").fill("news@mailroom.example")


def begin_mailing(page: Page, *, name: str, message: str, people: str) -> None:
    open_list(page, "Mailings")
    page.get_by_role("link", name="Add mailing").click()
    page.get_by_label("Name:", exact=True).fill(name)
    page.get_by_label("Message:").select_option(message)
    page.get_by_label(people).check()


def schedule_weekly(page: Page, day: str, time: str) -> None:
    page.get_by_label("When:").select_option("On weekdays")
    page.get_by_label("Schedule is on").check()
    page.get_by_label(day).check()
    page.get_by_label("At:").first.fill(time)


def schedule_once(page: Page, at: datetime) -> None:
    page.get_by_label("When:").select_option("Once")
    page.get_by_label("Schedule is on").check()
    page.get_by_label("Starting on:").fill(f"{at:%Y-%m-%d}")
    page.get_by_label("At:").filter(visible=True).fill(f"{at:%H:%M}")


def group(page: Page, reply: str) -> Locator:
    """The row of a run's page for those who had this reply."""
    return page.locator("tr").filter(has_text=reply)


def download(page: Page) -> list[dict[str, str]]:
    """The rows of the file that the list of deliveries offers."""
    with page.expect_download() as file:
        page.get_by_role("link", name="Download these as CSV").click()
    with Path(file.value.path()).open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


def picture(page: Page, name: str, *, down_to: str = "", beside: bool = False) -> None:
    """With SCREENSHOTS=docs/images (`make pictures`), take one for the guides: of the window, or of
    the page from its top down to an element, with or without what is beside its content."""
    if not (folder := os.environ.get("SCREENSHOTS")):
        return
    path = Path(folder) / f"{name}.png"
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    if not down_to:
        page.screenshot(path=path)
        return
    content, last = (page.locator(part).bounding_box() for part in ("#content", down_to))
    assert content
    assert last
    x, y = (0, 0) if beside else (content["x"], content["y"])
    width = page.evaluate("innerWidth") - x
    height = last["y"] + last["height"] + 16 - y
    clip: FloatRect = {"x": x, "y": y, "width": width, "height": height}
    page.screenshot(path=path, full_page=True, clip=clip)
