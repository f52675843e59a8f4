"""A mailing's schedule in plain fields: there and back, and what is refused where."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from mailer.models import Mailing
from mailer.tests import factories

from .conftest import form_data, page, said

pytestmark = pytest.mark.database

START = {"start_date": "2030-01-07", "start_time": "09:30", "schedule_zone": "Asia/Taipei"}
AT = datetime(2030, 1, 7, 1, 30, tzinfo=UTC)
KINDS: list[tuple[str, dict[str, Any], str]] = [
    ("manual", {}, ""),
    ("once", START, ""),
    ("every", {**START, "every_count": "15", "every_unit": "minutes"}, "15 minutes"),
    ("every", {**START, "every_count": "2", "every_unit": "weeks"}, "2 weeks"),
    (
        "weekly",
        {**START, "weekdays": ["0", "3"], "weeks_interval": "1"},
        "FREQ=WEEKLY;BYDAY=MO,TH",
    ),
    (
        "weekly",
        {**START, "weekdays": ["4"], "weeks_interval": "2"},
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=FR",
    ),
    ("monthly", {**START, "month_day": "1", "month_interval": "1"}, "FREQ=MONTHLY;BYMONTHDAY=1"),
    (
        "monthly",
        {**START, "month_day": "31", "month_interval": "1"},
        "FREQ=MONTHLY;BYMONTHDAY=28,29,30,31;BYSETPOS=-1",
    ),
    (
        "monthly",
        {**START, "month_day": "last", "month_interval": "3"},
        "FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=-1",
    ),
    (
        "monthly",
        {**START, "month_day": "last working", "month_interval": "1"},
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
    ),
    ("crontab", {**START, "crontab": " 0  9 * * 1 "}, "0 9 * * 1"),
]


def _fields(**changes: Any) -> dict[str, Any]:
    made = factories.make_mailing(recipients=1)
    data = {
        "name": "New one",
        "message": made.message_id,
        "lists": [made.lists.get().pk],
        "relay": made.relay_id,
        "enabled": "on",
        "missed": "late",
        "late_minutes": "720",
        "overlap": "wait",
        "expires_after_hours": "96",
        "breaker_percent": "5",
        "breaker_after": "200",
        "relay_share": "1",
        "weight": "4",
        "further_relays-TOTAL_FORMS": "0",
        "further_relays-INITIAL_FORMS": "0",
    }
    return data | changes


def _errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200, response
    return dict(response.context["adminform"].form.errors)


def test_a_schedule_that_there_is_not_is_not_switched_off_without_a_word(admin: Client) -> None:
    for enabled, messages in (("on", 2), ("", 1)):
        data = _fields(schedule_kind="manual", name=f"Mailing {enabled}", enabled=enabled)
        answer = admin.post(page("mailing", "add"), data, follow=True)
        assert len(said(answer)) == messages
        assert any("The schedule is off" in words for words in said(answer)) is bool(enabled)


@pytest.mark.parametrize(("kind", "fields", "expression"), KINDS)
def test_every_kind_goes_there_and_back(
    admin: Client, kind: str, fields: dict[str, Any], expression: str
) -> None:
    admin.post(page("mailing", "add"), _fields(schedule_kind=kind, **fields))
    mailing = Mailing.objects.get(name="New one")
    assert (mailing.schedule_kind, mailing.schedule_expression) == (kind, expression)
    if kind != "manual":
        assert mailing.schedule_anchor == AT
        assert mailing.schedule_zone == "Asia/Taipei"
        assert mailing.next_due_at
        assert mailing.periodic_task
    before = Mailing.objects.filter(pk=mailing.pk).values().get()
    url = page("mailing", "change", mailing)
    answer = admin.post(url, form_data(admin, url), follow=True)
    assert "was changed successfully" in said(answer)[0]
    assert Mailing.objects.filter(pk=mailing.pk).values().get() == before


def test_what_another_kind_needs_is_ignored_however_wrong(admin: Client) -> None:
    wrong = {"crontab": "x" * 300, "every_count": "-1", "month_day": "99", "end_date": "never"}
    wrong["end_time"] = "10:00"
    data = _fields(schedule_kind="once", **START, **wrong)
    assert admin.post(page("mailing", "add"), data).status_code == 302


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("every_count", {"schedule_kind": "every", "every_count": "", "every_unit": "days"}),
        ("every_count", {"schedule_kind": "every", "every_count": "400", "every_unit": "days"}),
        ("weekdays", {"schedule_kind": "weekly", "weeks_interval": "1"}),
        ("weeks_interval", {"schedule_kind": "weekly", "weekdays": ["1"], "weeks_interval": ""}),
        ("weekdays", {"schedule_kind": "weekly", "weekdays": ["1"], "weeks_interval": "100"}),
        ("month_day", {"schedule_kind": "monthly", "month_interval": "1"}),
        ("crontab", {"schedule_kind": "crontab", "crontab": "0 9 * *"}),
        ("crontab", {"schedule_kind": "crontab", "crontab": "0 25 * * *"}),
        ("crontab", {"schedule_kind": "crontab", "crontab": "0 9 31 2 *"}),
        ("start_date", {"schedule_kind": "once", "start_date": ""}),
        ("start_time", {"schedule_kind": "once", "start_time": "soon"}),
        ("start_date", {"schedule_kind": "once", "start_date": "2020-01-01"}),
        ("start_date", {"schedule_kind": "once", "start_date": "1066-01-01", "enabled": ""}),
        ("schedule_zone", {"schedule_kind": "once", "schedule_zone": "Taipei"}),
        (
            "start_time",  # the clocks go forward over it
            {
                "schedule_kind": "once",
                "schedule_zone": "Europe/Berlin",
                "start_date": "2030-03-31",
                "start_time": "02:30",
            },
        ),
        (
            "end_date",
            {"schedule_kind": "crontab", "crontab": "0 9 * * *", "end_date": "2029-01-01"},
        ),
        ("end_time", {"schedule_kind": "crontab", "crontab": "0 9 * * *", "end_time": "10:00"}),
        (
            "end_date",
            {
                "schedule_kind": "crontab",
                "crontab": "0 9 * * *",
                "start_date": "2020-01-01",
                "end_date": "2021-01-01",
            },
        ),
    ],
)
def test_an_error_stands_at_its_field(admin: Client, field: str, changes: dict[str, Any]) -> None:
    data = _fields(**{**START, **changes})
    assert list(_errors(admin.post(page("mailing", "add"), data))) == [field]
    assert not Mailing.objects.filter(name="New one").exists()


def test_no_weekday_at_all_is_asked_for_in_plain_words(admin: Client) -> None:
    data = _fields(schedule_kind="weekly", weeks_interval="1", **START)
    errors = _errors(admin.post(page("mailing", "add"), data))
    assert errors == {"weekdays": ["Tick at least one weekday."]}


def test_a_once_in_the_past_is_refused_even_switched_off(admin: Client) -> None:
    data = _fields(schedule_kind="once", **{**START, "start_date": "2020-01-01"})
    del data["enabled"]
    assert "This moment is over" in str(_errors(admin.post(page("mailing", "add"), data)))


def test_a_once_that_is_over_can_still_be_renamed_and_switched_off(admin: Client) -> None:
    now = timezone.now()
    mailing = factories.make_mailing(
        schedule_kind="once", schedule_anchor=now - timedelta(hours=1), enabled=True, now=now
    )
    url = page("mailing", "change", mailing)
    data = {**form_data(admin, url), "name": "Other"}
    data["lists"] = [factories.make_list(recipients=1).pk]
    assert admin.post(url, data).status_code == 302
    del data["enabled"]
    assert admin.post(url, data).status_code == 302
    data["enabled"] = "on"
    assert list(_errors(admin.post(url, data))) == ["start_date"]


def test_only_a_change_of_the_schedule_moves_it(admin: Client, world: Any) -> None:
    mailing, url = world.mailing, page("mailing", "change", world.mailing)
    before = mailing.schedule_changed_at
    with time_machine.travel(timezone.now() + timedelta(hours=1)):
        admin.post(url, {**form_data(admin, url), "name": "Renamed", "late_minutes": "5"})
        mailing.refresh_from_db()
        assert mailing.name == "Renamed"
        assert mailing.schedule_changed_at == before
        admin.post(url, {**form_data(admin, url), "weekdays": ["1"]})
        mailing.refresh_from_db()
        assert mailing.schedule_changed_at > before
    assert mailing.schedule_expression == "FREQ=WEEKLY;BYDAY=TU"


def test_switching_off_by_the_form_takes_the_wake_up_away(admin: Client, world: Any) -> None:
    url = page("mailing", "change", world.mailing)
    data = form_data(admin, url)
    del data["enabled"]
    admin.post(url, data)
    world.mailing.refresh_from_db()
    assert world.mailing.next_due_at is None
    assert not PeriodicTask.objects.filter(task="mailer.wake_mailing").exists()


def test_a_start_keeps_its_seconds_unless_it_is_changed(admin: Client, world: Any) -> None:
    anchor = world.mailing.schedule_anchor
    assert anchor.second or anchor.microsecond
    url = page("mailing", "change", world.mailing)
    admin.post(url, {**form_data(admin, url), "weekdays": ["2"]})
    world.mailing.refresh_from_db()
    assert world.mailing.schedule_anchor == anchor


def test_a_rule_that_the_form_cannot_show_is_kept(admin: Client) -> None:
    mailing = factories.make_mailing(
        recipients=1, schedule_kind="monthly", schedule_expression="FREQ=MONTHLY;BYDAY=2TU"
    )
    url = page("mailing", "change", mailing)
    admin.post(url, {**form_data(admin, url), "name": "Second Tuesdays"})
    mailing.refresh_from_db()
    assert mailing.name == "Second Tuesdays"
    assert mailing.schedule_expression == "FREQ=MONTHLY;BYDAY=2TU"
    answer = admin.post(url, {**form_data(admin, url), "schedule_zone": "Asia/Tokyo"})
    assert list(_errors(answer)) == ["month_day"]


def test_the_page_shows_the_next_ten_sends_and_the_gap(admin: Client) -> None:
    with time_machine.travel(datetime(2030, 3, 27, tzinfo=UTC)):
        mailing = factories.make_mailing(
            recipients=1,
            schedule_kind="every",
            schedule_expression="1 days",
            schedule_zone="Europe/Berlin",
            schedule_anchor=datetime(2030, 3, 1, 1, 30, tzinfo=UTC),
            enabled=True,
            now=timezone.now(),
        )
        admin.force_login(User.objects.get())  # the session of before is over by then
        shown = admin.get(page("mailing", "change", mailing)).content.decode()
    assert shown.count("<li><time") == 10
    assert "Sat 30 Mar 2030, 02:30 CET" in shown
    assert "Sun 31 Mar 2030, 03:30 CEST" in shown
    assert shown.count("02:30 does not exist on that day") == 1
    assert "Every day at 02:30, Europe/Berlin. The first one: in " in shown
    assert 'name="breaker_percent" value="5"' in shown  # not 5.0


def test_a_mailing_with_runs_is_kept_and_one_without_goes_with_its_wake_up(
    admin: Client, world: Any
) -> None:
    answer = admin.post(page("mailing", "delete", world.mailing), {"post": "yes"}, follow=True)
    assert "has been sent" in said(answer)[0]
    assert Mailing.objects.filter(pk=world.mailing.pk).exists()
    world.run.delete()
    assert PeriodicTask.objects.filter(task="mailer.wake_mailing").count() == 1
    admin.post(page("mailing", "delete", world.mailing), {"post": "yes"})
    assert not Mailing.objects.filter(pk=world.mailing.pk).exists()
    assert not PeriodicTask.objects.filter(task="mailer.wake_mailing").exists()


def test_who_may_not_send_does_not_switch_a_new_schedule_on(
    login: Callable[..., Client], db: None
) -> None:
    client = login("view", "add_mailing", "change_mailing")
    shown = client.get(f"{page('mailing', 'add')}?enabled=1").content.decode()
    assert "Can send a mailing now" in shown
    assert "checked" not in shown.partition('id="id_enabled"')[0].rpartition("<input")[2]
    client.post(
        page("mailing", "add"), _fields(schedule_kind="crontab", crontab="0 9 * * *", **START)
    )
    mailing = Mailing.objects.get(name="New one")
    assert not mailing.enabled
    assert mailing.next_due_at is None
    assert mailing.schedule_expression == "0 9 * * *"  # preparing one is theirs


def test_who_may_not_send_leaves_a_schedule_that_is_on_as_it_is(
    login: Callable[..., Client], world: Any
) -> None:
    url, before = page("mailing", "change", world.mailing), Mailing.objects.values()
    stored = before.get(pk=world.mailing.pk)
    client = login("view", "change_mailing")
    data = form_data(client, url)
    assert not data.keys() & {"enabled", "schedule_kind", "weekdays", "start_date"}
    forged = {"schedule_kind": "every", "every_count": "1", "every_unit": "minutes", **START}
    assert client.post(url, {**data, **forged, "name": "Renamed"}).status_code == 302
    after = Mailing.objects.values().get(pk=world.mailing.pk)
    assert after == stored | {"name": "Renamed"}
    shown = client.get(url).content.decode()
    assert "/do/enable/" not in shown
    assert "/do/disable/" not in shown


def test_who_may_send_switches_and_moves_it(login: Callable[..., Client], world: Any) -> None:
    url = page("mailing", "change", world.mailing)
    client = login("view", "change_mailing", "start_mailing")
    data = form_data(client, url)
    assert "Can send a mailing now" not in client.get(url).content.decode()
    client.post(url, {**data, "weekdays": ["1"]})
    world.mailing.refresh_from_db()
    assert world.mailing.schedule_expression == "FREQ=WEEKLY;BYDAY=TU"
    del data["enabled"]
    client.post(url, data)
    world.mailing.refresh_from_db()
    assert not world.mailing.enabled
