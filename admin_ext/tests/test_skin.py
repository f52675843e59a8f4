"""The skin: nothing that a strict Content-Security-Policy stops, and colours one can read."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from celery import Celery
from django.template.loader import render_to_string
from django.test import Client
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from django_celery_results.models import TaskResult

import admin_ext
from admin_ext.registry import register_task
from admin_ext.tests import celery_app as tasks

ROOT = Path(admin_ext.__file__).parent
Clients = Callable[..., Client]


class Inline(HTMLParser):
    """Finds what needs 'unsafe-inline'."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        data = values.get("type") in {"application/json", "importmap"}
        if tag == "style" or (tag == "script" and "src" not in values and not data):
            self.found.append(f"<{tag}>")
        self.found += [f"{tag} {name}" for name in values if name == "style" or name[:2] == "on"]


def inline_parts(html: str) -> list[str]:
    parser = Inline()
    parser.feed(html)
    return parser.found


def test_the_finder_finds() -> None:
    html = '<script>1</script><p style="x" onclick="y"><style></style><script src="a"></script>'
    assert inline_parts(html) == ["<script>", "p style", "p onclick", "<style>"]
    assert inline_parts('<script type="application/json">{}</script>') == []


@pytest.fixture
def rows(eager: Celery, db: None) -> dict[str, int]:
    register_task("tests.fail", label="Fail", object_of=lambda args, kwargs: ("auth.group", 1))
    tasks.fail.delay()
    interval = IntervalSchedule.objects.create(every=1, period="days")
    return {
        "django_celery_results/taskresult": TaskResult.objects.get().pk,
        "django_celery_beat/intervalschedule": interval.pk,
        "django_celery_beat/crontabschedule": CrontabSchedule.objects.create().pk,
        "django_celery_beat/clockedschedule": ClockedSchedule.objects.create(
            clocked_time="2026-11-23T00:00Z"
        ).pk,
        "django_celery_beat/solarschedule": SolarSchedule.objects.create(
            event="sunset", latitude=1, longitude=1
        ).pk,
        "django_celery_beat/periodictask": PeriodicTask.objects.create(
            name="n", task="tests.work", interval=interval
        ).pk,
    }


@pytest.mark.django_db
@pytest.mark.database
def test_no_page_has_inline_script_or_style(rows: dict[str, int], client_for: Clients) -> None:
    client = client_for(superuser=True)
    addresses = ["/admin/", "/admin/password_change/", "/admin/django_celery_beat/"]
    for model, pk in rows.items():
        base = f"/admin/{model}/"
        addresses += [
            base, f"{base}?q=a", f"{base}{pk}/change/", f"{base}{pk}/history/", f"{base}add/",
            f"{base}{pk}/delete/", f"{base}{pk}/change/?_popup=1",
        ]  # fmt: skip
    addresses += [
        f"/admin/django_celery_results/taskresult/{rows['django_celery_results/taskresult']}/do/run_again/",
        f"/admin/django_celery_beat/periodictask/{rows['django_celery_beat/periodictask']}/do/run_now/",
    ]
    seen = {}
    for address in addresses:
        answer = client.get(address)
        if answer.status_code == 200:
            seen[address] = inline_parts(answer.content.decode())
    assert len(seen) > 40
    assert {address: parts for address, parts in seen.items() if parts} == {}
    assert inline_parts(Client().get("/admin/login/").content.decode()) == []


@pytest.mark.django_db
@pytest.mark.database
def test_a_form_that_was_open_for_too_long_says_so_in_our_words() -> None:
    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "x"})
    html = answer.content.decode()
    assert answer.status_code == 403
    assert "please try again" in html
    assert inline_parts(html) == []


@pytest.mark.django_db
@pytest.mark.database
def test_what_is_refused_or_missing_or_broken_is_a_page_with_a_way_back(
    client_for: Clients,
) -> None:
    client = client_for()
    refused = client.get("/admin/django_celery_results/taskresult/")
    missing = client.get("/admin/nothing/here/")
    assert (refused.status_code, missing.status_code) == (403, 404)
    assert "not for your role" in refused.content.decode()
    broken = render_to_string("500.html")  # without a request, as Django does it
    for html in (refused.content.decode(), missing.content.decode(), broken):
        assert 'href="/admin/"' in html
        assert inline_parts(html) == []


def test_the_brand_is_the_projects(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.contrib import admin

    monkeypatch.setattr(admin.site, "site_header", "Any name")
    assert "Any name" in client.get("/admin/login/").content.decode()
    templates = " ".join(path.read_text() for path in (ROOT / "templates").rglob("*.html"))
    assert "Mailroom" not in templates


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def skin_colours(theme: int) -> dict[str, str]:
    css = (ROOT / "static/admin_ext/skin.css").read_text()
    both = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", css)
    single = re.findall(r"--([\w-]+): (#\w{6});", css)
    return {name: colours[theme] for name, *colours in both} | dict(single)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ("good-fg", "good-bg"), ("wait-fg", "wait-bg"), ("bad-fg", "bad-bg"),
        ("doubt-fg", "doubt-bg"), ("live-fg", "live-bg"), ("quiet-fg", "quiet-bg"),
        ("body-fg", "body-bg"), ("body-fg", "darkened-bg"), ("body-quiet-color", "body-bg"),
        ("body-quiet-color", "darkened-bg"), ("link-fg", "body-bg"), ("link-fg", "darkened-bg"),
        ("link-fg", "selected-row"), ("link-fg", "selected-bg"), ("body-fg", "selected-row"),
        ("breadcrumbs-fg", "breadcrumbs-bg"), ("breadcrumbs-link-fg", "breadcrumbs-bg"),
        ("header-color", "header-bg"), ("header-link-color", "header-bg"), ("accent", "header-bg"),
        ("button-fg", "button-bg"), ("button-fg", "button-hover-bg"),
        ("button-fg", "default-button-bg"), ("button-fg", "default-button-hover-bg"),
        ("button-fg", "close-button-bg"), ("button-fg", "close-button-hover-bg"),
        ("button-fg", "delete-button-bg"), ("button-fg", "delete-button-hover-bg"),
        ("object-tools-fg", "object-tools-bg"), ("object-tools-fg", "object-tools-hover-bg"),
        ("error-fg", "body-bg"), ("body-fg", "message-success-bg"),
        ("body-fg", "message-warning-bg"), ("body-fg", "message-error-bg"),
    ],
)  # fmt: skip
def test_contrast_is_wcag_aa(theme: int, ink: str, ground: str) -> None:
    colours = skin_colours(theme)
    assert contrast(colours[ink], colours[ground]) >= 4.5
