"""What the server says to the source editor, where it is loaded, and what it is made of."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from mailer.models import Recipient
from mailer.services.placeholders import known_placeholders
from mailer.tests.factories import make_recipient

from .conftest import World, form_data, page

BUNDLE = "mailer/vendor/codemirror/codemirror.js"


class Sources(HTMLParser):
    """The attributes of each element with source, by its field's name or as "pre html"."""

    def __init__(self, page: Any) -> None:
        super().__init__()
        self.found: dict[str, dict[str, str | None]] = {}
        self.feed(page.content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if "data-source" in given:
            self.found[given.get("name") or f"{tag} {given['data-source']}"] = given


@pytest.mark.database
def test_errors_are_said_with_their_lines(admin: Client, world: World) -> None:
    url = page("message", "change", world.message)
    html = "<p>\r\n{% set x = 1 %}\r\n{{ name|nonsense }}"
    text = "{{ name|wrong }}"
    answer = admin.post(url, {**form_data(admin, url), "html": html, "text": text})
    sources = Sources(answer).found
    assert json.loads(sources["html"]["data-problems"] or "") == [
        {"line": 2, "words": "Line 2: {% set %} is not available in messages."},
        {"line": 3, "words": 'Line 3: there is no filter "nonsense" in messages.'},
    ]
    assert [found["line"] for found in json.loads(sources["text"]["data-problems"] or "")] == [1]
    assert "data-problems" not in Sources(admin.get(url)).found["html"]  # nobody else's


@pytest.mark.database
def test_what_people_have_is_offered(admin: Client) -> None:
    make_recipient(attributes={"city": "Rome", "post code": "1", "_secret": "1", "if": "1"})
    make_recipient(attributes={"Ort": "Wien", "縣市": "臺北"})
    offers = json.loads(
        Sources(admin.get(page("message", "add"))).found["text"]["data-offers"] or ""
    )
    names = ["Ort", "address", "city", "language", "name", "time_zone", "縣市"]
    assert offers["names"] == names
    assert "default" in offers["filters"]


@pytest.mark.database
def test_people_are_asked_once_however_many(
    db: None, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailer.services.placeholders.PEOPLE_ASKED", 2)
    for name in ("oldest", "older", "newest"):
        make_recipient(attributes={name: "1"})
    assert Recipient.objects.count() == 3
    with django_assert_num_queries(1):
        names = known_placeholders()
    assert "oldest" not in names
    assert {"older", "newest"} <= set(names)


@pytest.mark.database
def test_it_is_loaded_where_source_is(admin: Client, world: World) -> None:
    for model, view, obj in (
        ("message", "add", None),
        ("message", "change", world.message),
        ("messageversion", "change", world.version),
    ):
        assert BUNDLE in admin.get(page(model, view, obj)).content.decode()
    for model, view, obj in (
        ("message", "changelist", None),
        ("mailing", "change", world.mailing),
        ("messageversion", "preview", world.version),
    ):
        assert BUNDLE not in admin.get(page(model, view, obj)).content.decode()


@pytest.mark.database
def test_whoever_may_only_look_reads_it_in_the_version(login: Any, world: World) -> None:
    client = login("view")
    assert Sources(client.get(page("message", "change", world.message))).found == {}
    found = Sources(client.get(page("messageversion", "change", world.version))).found
    assert found.keys() == {"pre html", "pre text"}


def test_the_bundle_is_of_the_locked_versions() -> None:
    lock = json.loads((settings.BASE_DIR / "scripts/codemirror/package-lock.json").read_text())
    locked = {
        name.removeprefix("node_modules/"): entry["version"]
        for name, entry in lock["packages"].items()
        if name
    }
    folder = Path(settings.BASE_DIR) / "mailer/static" / BUNDLE
    licences = folder.with_name("LICENSES.txt").read_text()
    bundled = re.findall(r"^(\S+) (\d\S+) \(MIT\)$", licences, re.MULTILINE)
    assert {"@codemirror/view", "@lezer/html", "style-mod"} <= dict(bundled).keys()
    assert dict(bundled) == {name: locked[name] for name, _version in bundled}
