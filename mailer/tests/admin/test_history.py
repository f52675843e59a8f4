"""The history of things in words: who did what, when, and how far a run was by then."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from admin_ext.components.history import SHOWN
from mailer.models import Audit, Run
from mailer.services.control import cancel_run, pause_run, retry_failed
from mailer.tests import factories

from .conftest import World, form_data, page

pytestmark = pytest.mark.database


def told(client: Client, model: str, obj: Any, **query: str) -> list[str]:
    """The sentences of a history page, newest first."""
    answer = client.get(page(model, "history", obj), query)
    assert answer.status_code == 200
    return [happening.words for happening in answer.context["happenings"]]


def change(client: Client, model: str, obj: Any, **values: Any) -> None:
    url = page(model, "change", obj)
    answer = client.post(url, {**form_data(client, url), **values})
    assert answer.status_code == 302, answer.context["errors"]


def test_a_mailings_changes_are_told_with_what_they_were(admin: Client, world: World) -> None:
    spare = factories.make_relay(name="Spare")
    other = factories.make_list("Others")
    change(
        admin, "mailing", world.mailing,
        relay=spare.pk, lists=[other.pk], urgent="on", breaker_percent="", weight="16",
    )  # fmt: skip
    assert told(admin, "mailing", world.mailing)[0] == (
        f"chief changed Lists from “{world.mailing_list}” to “Others”, Relay from “Provider” to"
        " “Spare”, Urgent from “no” to “yes”, Beside other runs from “as much as others” to “more"
        " than others” and Pause when so many are refused (%) from “5” to nothing."
    )


def test_a_schedule_is_told_as_a_whole(admin: Client, world: World) -> None:
    change(admin, "mailing", world.mailing, weekdays=["1", "4"], start_time="10:30")
    (words,) = [words for words in told(admin, "mailing", world.mailing) if "chief" in words]
    assert re.fullmatch(
        r"chief changed Schedule from “every Monday at \d\d:\d\d, Asia/Taipei” to “every Tuesday"
        r" and Friday at 10:30, Asia/Taipei”\.",
        words,
    )


def test_further_relays_are_told_by_name(admin: Client, world: World) -> None:
    factories.make_relay(name="Spare")
    spare = factories.make_relay(name="Second")
    rows = {"further_relays-TOTAL_FORMS": 1, "further_relays-INITIAL_FORMS": 0}
    row = {"further_relays-0-relay": spare.pk, "further_relays-0-share": 2}
    change(admin, "mailing", world.mailing, **rows, **row)
    assert "chief added the further relay “Second”." in told(admin, "mailing", world.mailing)


def test_a_mailings_history_has_what_was_done_to_its_runs(admin: Client, world: World) -> None:
    sam = User.objects.create_user("sam", first_name="Sam", last_name="Sender")
    pause_run(world.run.pk, by=sam, now=timezone.now())
    words = f"Sam Sender paused run {world.run.pk} after 3 of 7 were sent."
    assert told(admin, "mailing", world.mailing)[0] == words


def test_what_was_done_to_runs_is_for_who_may_see_them(world: World, login: Any) -> None:
    pause_run(world.run.pk, by=None, now=timezone.now())
    assert told(login("view_mailing"), "mailing", world.mailing) == []
    assert len(told(login("view_mailing", "view_run"), "mailing", world.mailing)) == 2


def test_a_runs_history_says_when_in_the_run_it_was(admin: Client, world: World) -> None:
    sam = User.objects.create_user("sam")
    now = timezone.now()
    pause_run(world.run.pk, by=sam, now=now)
    retry_failed(world.run.pk, by=sam, now=now + timedelta(seconds=1), problem="554 5.7.1")
    Run.objects.filter(pk=world.run.pk).update(sent=4, uncertain=0)
    cancel_run(world.run.pk, by=None, now=now + timedelta(seconds=2))
    run = Run.objects.get(pk=world.run.pk)
    newest = told(admin, "run", run)
    assert newest[:3] == [
        "the system cancelled the run and 2 deliveries of it after 4 of 7 were sent.",
        "sam had 1 delivery of the run sent again after 3 of 7 were sent (554 5.7.1).",
        "sam paused the run after 3 of 7 were sent.",
    ]
    assert "Sending to 7 people began." in newest
    on_page = admin.get(page("run", "live", run)).content.decode()
    assert [words for words in reversed(newest) if words in on_page] == newest[::-1]


def test_entries_from_before_it_was_kept_do_not_say_how_far_it_was(
    admin: Client, world: World
) -> None:
    pause_run(world.run.pk, by=None, now=timezone.now())
    Audit.objects.update(sent=None)
    assert told(admin, "run", world.run)[0] == "the system paused the run."


def test_what_somebody_searched_for_is_for_who_may_see_deliveries(world: World, login: Any) -> None:
    Audit.objects.create(
        run=world.run, action=Audit.Action.EXPORT, at=timezone.now(), count=1, detail="q=ann@x.org"
    )
    words = "the system downloaded 1 delivery of the run"
    assert told(login("view_run"), "run", world.run)[0] == f"{words}."
    seen = told(login("view_run", "view_delivery"), "run", world.run)
    assert seen[0] == f"{words} (q=ann@x.org)."


def test_a_messages_history_tells_its_versions_and_short_values(
    admin: Client, world: World
) -> None:
    change(admin, "message", world.message, subject="Another subject", text="Much longer. " * 9)
    assert told(admin, "message", world.message)[:2] == [
        (
            f"chief changed Subject from “{world.version.subject}” to “Another subject” and Plain"
            " text."
        ),
        "chief saved version 2.",
    ]


def test_a_login_is_never_told(admin: Client, world: World) -> None:
    change(admin, "relay", world.relay, username="mailroom", password="hush-hush", port="25")
    assert told(admin, "relay", world.relay) == [
        "chief changed Port from “587” to “25”, User name and Password."
    ]


def test_people_are_not_told_of(admin: Client, world: World) -> None:
    change(admin, "recipient", world.recipient, name="Ann Other", address="ann.other@b.example")
    (words,) = told(admin, "recipient", world.recipient)
    assert words == "chief changed E-mail address and Name."
    kept = LogEntry.objects.get().change_message
    assert "Ann" not in kept
    assert "b.example" not in kept


def test_a_sentence_of_an_earlier_release_is_kept_with_who_wrote_it(
    admin: Client, world: World
) -> None:
    for message in (
        "Copied from “100% wool”.",
        "",
        "[not JSON",
        '[{"changed": {"fields": ["Name"]}}]',
    ):
        LogEntry.objects.log_actions(
            User.objects.get().pk, [world.mailing_list], CHANGE, change_message=message
        )
    assert set(told(admin, "mailinglist", world.mailing_list)) == {
        "chief: Copied from “100% wool”.",
        "chief saved it without a change.",
        "chief changed Name.",
    }


def test_a_long_history_is_read_page_by_page(admin: Client, world: World) -> None:
    chief, now = User.objects.get(), timezone.now()
    LogEntry.objects.all().delete()
    for number in range(SHOWN + 20):
        LogEntry.objects.log_actions(
            chief.pk, [world.relay], CHANGE, change_message=f"%(who)s did {number}."
        )
        # Two at a time at the same moment, over the end of the page, too.
        at = now - timedelta(minutes=(number + 1) // 2)
        LogEntry.objects.filter(change_message=f"%(who)s did {number}.").update(action_time=at)
    url = page("relay", "history", world.relay)
    with CaptureQueriesContext(connection) as queries:
        first = admin.get(url)
    assert len(queries) < 12
    shown = [happening.words for happening in first.context["happenings"]]
    before = first.context["older"]
    rest = told(admin, "relay", world.relay, before=before)
    assert len(shown) == SHOWN - 1
    assert sorted([*shown, *rest]) == sorted(f"chief did {n}." for n in range(SHOWN + 20))
    assert told(admin, "relay", world.relay, before="nonsense") == shown


def test_an_empty_history_says_why(admin: Client, world: World) -> None:
    shown = admin.get(page("mailinglist", "history", world.mailing_list)).content.decode()
    assert "nobody has changed it on these pages" in shown
