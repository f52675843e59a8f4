"""What a mailing's form means while it is being filled in: to how many, and when."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from mailer.models import Mailing
from mailer.tests import factories

from .conftest import World, form_data, page

pytestmark = pytest.mark.database

WEEKLY = {
    "schedule_kind": "weekly", "weekdays": ["0"], "weeks_interval": "1", "enabled": "on",
    "start_date": "2030-01-07", "start_time": "09:30", "schedule_zone": "Asia/Taipei",
}  # fmt: skip


def outlook(client: Client, part: str, **values: Any) -> Any:
    return client.get(reverse("admin:mailer_mailing_outlook", args=[part]), values)


def words(client: Client, part: str, **values: Any) -> str:
    answer = outlook(client, part, **values)
    assert answer.status_code == 200
    return answer.content.decode().strip()


def test_the_audience_follows_the_lists(admin: Client) -> None:
    one, other = factories.make_list(recipients=3), factories.make_list(recipients=2)
    factories.subscribe(factories.make_recipient(), other, state="unsubscribed")
    assert words(admin, "audience") == "Choose at least one list."
    assert words(admin, "audience", lists=[one.pk]) == "3 people."
    both = words(admin, "audience", lists=[one.pk, other.pk])
    assert both == "5 people. Left out: 1 unsubscribed."
    assert words(admin, "audience", lists=["x", "9" * 30, "²"]) == "Choose at least one list."


def test_a_saved_mailing_shows_it_without_a_script(admin: Client, world: World) -> None:
    shown = admin.get(page("mailing", "change", world.mailing)).content.decode()
    assert 'data-outlook-fields="lists"' in shown
    assert "7 people." in shown
    assert 'data-outlook-fields="enabled schedule_kind' in shown


def test_the_sends_follow_the_fields_and_nothing_is_saved(admin: Client, world: World) -> None:
    key = {"mailing": world.mailing.pk}
    before = Mailing.objects.values().get(pk=world.mailing.pk)
    shown = words(admin, "sends", **WEEKLY, **key)
    assert "Every Monday at 09:30, Asia/Taipei." in shown
    assert "Mon 7 Jan 2030, 09:30 CST" in shown
    assert shown.count("<li>") == 10
    assert "Tue 8 Jan 2030" in words(admin, "sends", **{**WEEKLY, "weekdays": ["1"]}, **key)
    off = {name: value for name, value in WEEKLY.items() if name != "enabled"}
    assert "The schedule is off: none of these is sent." in words(admin, "sends", **off)
    assert Mailing.objects.values().get(pk=world.mailing.pk) == before


def test_a_time_that_the_clocks_skip_is_marked(admin: Client) -> None:
    daily = {
        "schedule_kind": "crontab", "crontab": "30 2 * * *", "enabled": "on",
        "start_date": "2030-03-29", "start_time": "00:00", "schedule_zone": "Europe/Berlin",
    }  # fmt: skip
    assert "02:30 does not exist on that day" in words(admin, "sends", **daily)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weekdays": []}, "Tick at least one weekday."),
        ({"schedule_zone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"start_date": "soon"}, "Enter a valid date."),
        ({"schedule_kind": "manual"}, "only when somebody presses Send now"),
        ({"schedule_kind": "<b>"}, "&lt;b&gt;"),
    ],
)
def test_what_is_wrong_is_said_in_words(admin: Client, changes: dict[str, Any], said: str) -> None:
    assert said in words(admin, "sends", **{**WEEKLY, **changes})


def test_the_fields_that_are_asked_about_are_those_of_the_form(admin: Client) -> None:
    data = form_data(admin, page("mailing", "add"))
    shown = admin.get(page("mailing", "add")).content.decode()
    assert shown.count("data-outlook=") == 2
    assert {"schedule_kind", "schedule_zone", "every_count"} <= data.keys()


def test_it_is_for_those_who_may_see_the_mailing_or_add_one(
    login: Callable[..., Client], world: World
) -> None:
    for part in ("audience", "sends"):
        assert outlook(login(), part).status_code == 403
        assert outlook(login("view"), part).status_code == 403
        assert outlook(login("view"), part, mailing=world.mailing.pk).status_code == 200
        assert outlook(login("add_mailing"), part).status_code == 200
        assert outlook(login("view"), part, mailing="9" * 12).status_code == 404
        assert outlook(login("view"), part, mailing="x").status_code == 404
    assert outlook(login("view"), "nothing").status_code == 404
