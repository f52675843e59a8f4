"""A message as somebody gets it, before anybody does; and what it may not do in the frame."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from mailer.admin import preview
from mailer.models import MessageVersion
from mailer.services.attaching import keep_file
from mailer.services.writing import save_version
from mailer.tests import factories

from .conftest import World, page

pytestmark = pytest.mark.database

GIF = bytes.fromhex(
    "4749463839610100010080000000000000000021f90401000000002c00000000010001000002024401003b"
)


def make_version(**content: str) -> MessageVersion:
    version = factories.make_message("A message", **content).current
    assert version is not None
    return version


def look(client: Client, version: MessageVersion, **query: str) -> tuple[str, str]:
    """The page, and what is in its frame."""
    shown = client.get(page("messageversion", "preview", version), query)
    assert shown.status_code == 200
    frame = client.get(shown.context["frame_url"])
    assert frame.status_code == 200
    return shown.content.decode(), frame.content.decode()


def test_the_first_person_of_the_newest_mailing_sees_it(admin: Client, world: World) -> None:
    world.recipient.name = "Ann & Co"
    world.recipient.save()
    version = save_version(
        world.message,
        {
            "subject": "For {{ name }}", "html": "<p>Dear {{ name }}</p>", "text": "",
            "from_name": "News", "from_address": "news@a.example", "reply_to": "",
        },
        by=None,
    )  # fmt: skip
    shown, frame = look(admin, version)
    assert f"<bdi>{world.recipient.address}</bdi>" in shown
    assert "For Ann &amp; Co" in shown
    assert "made from the HTML" in shown
    assert frame == "<p>Dear Ann &amp; Co</p>"
    other = factories.make_recipient("bo@b.example", name="Bo")
    shown, frame = look(admin, version, to="BO@b.example")
    assert "For Bo" in shown
    assert "Dear Bo" in frame
    assert other.address in shown


def test_for_nobody_each_placeholder_shows_its_name(admin: Client) -> None:
    version = make_version(subject="Hi {{ name }}", html="<p>{{ city }}</p>", text="{{ city }}")
    for query in ({}, {"to": "-"}):
        shown, frame = look(admin, version, **query)
        assert "Hi [name]" in shown
        assert frame == "<p>[city]</p>"


def test_an_address_that_is_nobody_s_is_said(admin: Client) -> None:
    shown, _frame = look(admin, make_version(), to="<b>@c.example")
    assert "There is no recipient &lt;b&gt;@c.example." in shown


def test_what_cannot_be_written_says_where_and_why(admin: Client) -> None:
    factories.make_recipient("bo@b.example")
    version = make_version(html="<p>\n{{ city }}</p>", text="")
    shown = admin.get(page("messageversion", "preview", version), {"to": "bo@b.example"})
    assert "It cannot be written:" in shown.content.decode()
    assert "city" in shown.context["problem"]
    frame = admin.get(shown.context["frame_url"]).content.decode()
    assert "city" in frame
    assert "<p>" not in frame


def test_the_frame_runs_and_loads_nothing(admin: Client) -> None:
    version = make_version(html="<script>alert(1)</script><p>{{ name }}</p>", text="x")
    frame = admin.get(page("messageversion", "frame", version))
    policy = {
        name: set(values)
        for name, *values in (part.split() for part in frame["Content-Security-Policy"].split(";"))
    }
    assert policy.pop("default-src") == {"'none'"}
    assert policy.pop("sandbox") == set()
    assert policy.pop("frame-ancestors") == {"'self'"}
    assert policy.pop("img-src") == {"data:"}
    assert policy.pop("style-src") == {"'unsafe-inline'"}
    assert set().union(*policy.values()) == {"'none'"}
    assert frame["X-Frame-Options"] == "SAMEORIGIN"
    assert frame["X-Content-Type-Options"] == "nosniff"
    shown = admin.get(page("messageversion", "preview", version))
    assert "unsafe-inline" not in shown["Content-Security-Policy"]
    assert shown["X-Frame-Options"] == "DENY"
    assert "<iframe" in shown.content.decode()
    assert " sandbox src=" in shown.content.decode()
    assert "alert(1)" not in shown.content.decode()


def test_inline_images_are_part_of_the_frame(admin: Client) -> None:
    message = factories.make_message("A message")
    file = keep_file(message, name="dot.gif", octets=GIF, image_name="dot")
    content = {
        name: getattr(message.current, name)
        for name in ("subject", "text", "from_name", "from_address", "reply_to")
    }
    html = '<img src="cid:dot" alt=""><img src="https://elsewhere.example/x.png" alt="">'
    version = save_version(message, {**content, "html": html}, files=[file], by=None)
    _shown, frame = look(admin, version)
    assert 'src="data:image/gif;base64,R0lGOD' in frame
    assert "cid:" not in frame


def test_people_are_shown_to_those_who_may_see_them(
    login: Callable[..., Client], world: World
) -> None:
    version: Any = world.version
    shown, _frame = look(login("view_message"), version, to=world.recipient.address)
    assert world.recipient.address not in shown
    assert "Show it for" not in shown
    shown, _frame = look(login("view_message", "view_recipient"), version)
    assert world.recipient.address in shown
    for view in ("preview", "frame"):
        assert login("view_recipient").get(page("messageversion", view, version)).status_code == 403


def test_a_message_leads_to_its_preview(admin: Client, world: World) -> None:
    link = page("messageversion", "preview", world.version)
    assert link in admin.get(page("message", "change", world.message)).content.decode()
    assert link in admin.get(page("messageversion", "change", world.version)).content.decode()
    assert preview.FRAME_POLICY["sandbox"]
