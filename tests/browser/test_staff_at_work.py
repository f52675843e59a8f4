"""A mailing from its first word to its last retry, and what each role finds on its way."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.system.processes import ROOT, wait_until

from . import staff
from .office import FRIENDS, READERS, Office, People, open_office
from .walking import walk

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

HTML = (ROOT / "fixtures/messages/weekly-news.html").read_text(encoding="utf-8")
ME = "editor@mailroom.example"
UNKNOWN, POLICY, FULL = "550 5.1.1", "554 5.7.1", "452 4.2.2"


class Trouble:
    """Who of some people is refused or not answered, the first time that they are written to."""

    def __init__(self, people: People) -> None:
        self.unknown, policy = people.addresses[20:23], people.addresses[25:27]
        self.behaviour: dict[str, Any] = {
            "first_replies": {
                **dict.fromkeys(self.unknown, f"{UNKNOWN} no such user"),
                **dict.fromkeys(policy, f"{POLICY} refused by policy"),
                people.addresses[60]: f"{FULL} mailbox full",
            },
            "silences": {people.addresses[90]: "accepted"},
        }


@pytest.fixture(scope="module")
def office(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with open_office(browser, tmp_path_factory.mktemp("office")) as office:
        yield office


def test_from_the_first_word_to_the_last_retry(office: Office) -> None:
    trouble = Trouble(READERS)
    with office.desk("editor") as editor, office.desk("sender") as sender:
        write(editor)
        office.relay.behave(hold_at="rcpt", hold_after=25, **trouble.behaviour)
        at = schedule(sender)
        staff.open_home(sender)
        expect(sender.locator(".next")).to_contain_text(f"{at:%H:%M} UTC Spring news")
        preview_and_test(editor, office)
        office.relay.wait_held(seconds=90)
        sender.reload()
        sender.locator(".going").get_by_role("link", name="Spring news").click()
        looks_only(editor, sender.url)
        with office.desk("reviewer") as reviewer:
            looks_only(reviewer, sender.url)
        pause_and_resume(sender, office, trouble)
        staff.picture(sender, "run", down_to=".table-scroll >> nth=0", beside=True)
        staff.open_home(sender)
        staff.picture(sender, "home", down_to=".home", beside=True)
        sender.go_back()
        retry_one_reply(sender)
        staff.ask(sender, "Resolve uncertain")
        staff.picture(sender, "resolve", down_to="form.card")
        answer(sender, "They arrived")
        export(sender, trouble)
        see_it_end(sender)


def test_the_same_on_a_phone_in_the_dark(office: Office) -> None:
    trouble = Trouble(FRIENDS)
    with office.desk("sender", phone=True, dark=True) as sender:
        staff.begin_mailing(sender, name="A reminder", message="Weekly news", people=FRIENDS.name)
        staff.save(sender)
        staff.ask(sender, "Send now")
        office.relay.behave(hold_at="rcpt", hold_after=25, **trouble.behaviour)
        sender.get_by_role("button", name="Send now").dblclick()
        office.relay.wait_held()
        pause_and_resume(sender, office, trouble)
        staff.picture(sender, "run-phone")
        box = sender.get_by_text("The mailbox does not exist").bounding_box()
        assert box
        assert box["x"] + box["width"] <= 390
        retry_one_reply(sender)
        staff.ask(sender, "Resolve uncertain")
        answer(sender, "They did not arrive")
        export(sender, trouble)
        see_it_end(sender)
        staff.open_list(sender, "Runs")
        expect(sender.get_by_role("link", name="A reminder")).to_have_count(1)


def write(page: Page) -> None:
    staff.begin_message(page, name="Spring news", subject="Spring news for {{ name }}")
    staff.write_source(page, "HTML:", HTML.replace("{% endif %}", ""))
    staff.save(page)
    expect(page.locator(".field-html")).to_contain_text("Line 18: {% if %} is not closed")
    staff.write_source(page, "HTML:", HTML)
    staff.save(page)


def preview_and_test(page: Page, office: Office) -> None:
    page.get_by_role("link", name="Preview").click()
    page.get_by_label("Show it for").fill(READERS.addresses[2])
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(".preview-head")).to_contain_text("Spring news for Łukasz Wiśniewski")
    written = page.frame_locator("iframe").locator("h1")
    expect(written).to_have_text("Good morning, Łukasz Wiśniewski")
    staff.picture(page, "preview", down_to="iframe")
    page.get_by_role("link", name="Spring news").click()
    staff.ask(page, "Send test")
    page.get_by_label("To:").fill(ME)
    expect(staff.confirm(page, "Send the test")).to_contain_text(f"on its way to {ME}")
    wait_until(
        lambda: ME in {entry.address for entry in office.relay.accepted}, what="the test arrives"
    )


def schedule(page: Page) -> datetime:
    """Weekly at first, and then for the next full minute that leaves time to fill in the form."""
    staff.begin_mailing(page, name="Spring news", message="Spring news", people=READERS.name)
    expect(page.locator(".field-audience")).to_contain_text(re.compile(r"1\d\d people\."))
    staff.schedule_weekly(page, "Monday", "09:00")
    expect(page.locator(".sends-lead")).to_contain_text("Every Monday at 09:00, UTC.")
    expect(page.locator(".sends li")).to_have_count(10)
    staff.picture(page, "mailing", down_to=".sends")
    at = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    if at - datetime.now(UTC) < timedelta(seconds=10):
        at += timedelta(minutes=1)
    staff.schedule_once(page, at)
    expect(page.locator(".sends li")).to_contain_text([f"{at:%H:%M} UTC"])
    staff.save(page)
    return at


def looks_only(page: Page, run: str) -> None:
    """What is done to a run is neither offered to this person nor taken from them."""
    page.goto(run)
    expect(page.locator(".run-head")).to_contain_text("Sending")
    expect(page.locator(".object-tools a")).to_have_text(["History"])
    for action in ("pause", "cancel", "retry"):
        asked = page.request.get(run.replace("/change/", f"/do/{action}/"))
        assert asked.status == 403


def pause_and_resume(page: Page, office: Office, trouble: Trouble) -> None:
    """On the page of a run that the relay holds up; until everybody was tried once."""
    state, counts = page.locator(".run-head .badge"), page.locator(".counts")
    settled = page.locator(".run-progress .progress-text")
    total = int(settled.inner_text().split()[2])
    sent = len(office.relay.accepted)
    staff.ask(page, "Pause")
    expect(staff.confirm(page, "Pause")).to_contain_text("Paused")
    shown = settled.inner_text()
    office.relay.behave(**trouble.behaviour)
    expect(settled).not_to_have_text(shown)  # what was on its way; nobody reloads the page
    expect(state).to_have_text("Paused")
    assert len(office.relay.accepted) < sent + 40
    staff.ask(page, "Resume")
    expect(staff.confirm(page, "Resume")).to_contain_text("goes on")
    for words in (f"Sent {total - 7}", "Waiting 0", "Will retry 1", "Failed 5", "Uncertain 1"):
        expect(counts).to_contain_text(words)


def retry_one_reply(page: Page) -> None:
    staff.group(page, POLICY).get_by_role("link", name="Retry").click()
    expect(page.locator(".confirm-question")).to_contain_text(f"failed with “{POLICY}”")
    expect(staff.confirm(page, "Retry 2 deliveries")).to_contain_text("2 failed deliveries")
    expect(page.locator(".counts")).to_contain_text("Failed 3")


def answer(page: Page, became: str) -> None:
    page.get_by_label(became).check()
    expect(staff.confirm(page, "Resolve 1 delivery")).to_contain_text("1 delivery counts as")


def export(page: Page, trouble: Trouble) -> None:
    """The failures of one reply, and one of them looked at; back to the run's page."""
    run = page.url
    staff.group(page, UNKNOWN).get_by_role("link", name="See them").click()
    rows = staff.download(page)
    assert {(row["address"], row["state"]) for row in rows} == {
        (address, "Failed") for address in trouble.unknown
    }
    page.get_by_role("link", name=trouble.unknown[0]).click()
    expect(page.locator("#content")).to_contain_text(f"{UNKNOWN} no such user")
    page.goto(run)


def see_it_end(page: Page) -> None:
    # Its buttons, too, and nobody reloads it.
    expect(page.get_by_role("link", name="Cancel run")).to_have_count(0, timeout=30_000)
    expect(page.locator(".run-head .badge")).to_have_text("Finished")


@pytest.fixture(scope="module")
def everything(office: Office) -> dict[str, str]:
    """An address of each kind of page that the administrator is offered, one of them a run that
    paused itself. The pages fit a phone."""
    first, *_ = READERS.addresses
    office.relay.behave(hold_at="rcpt", hold_after=4, silences={first: "accepted"})
    run = office.site.manage("start_mailing", "One announcement to everybody").strip()
    office.relay.wait_held()
    office.relay.behave(replies={"rcpt": "550 5.7.1 your mail looks like spam"})
    with office.desk("admin", phone=True) as admin:
        admin.goto(f"/admin/mailer/run/{run}/change/")
        expect(admin.locator(".run-head")).to_contain_text("refused by policy")
        office.relay.behave()
        return walk(admin)


@pytest.mark.parametrize("role", ["editor", "sender", "reviewer"])
def test_what_is_offered_opens_and_what_is_not_is_refused(
    office: Office, everything: dict[str, str], role: str
) -> None:
    with office.desk(role, phone=True, dark=True) as page:
        offered = walk(page, like=everything)
        assert offered.keys() <= everything.keys()
        for kind in everything.keys() - offered.keys():
            answer = page.request.get(everything[kind])
            assert answer.status == 403, f"{role} may open {kind} and is not led there"
