"""Periodic tasks and schedules in the admin: what they protect, and what beat sees of a change."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
)

from admin_ext.components.outcome import ActionRefused
from admin_ext.registry import register_schedule_owner
from admin_ext.schedules import enable_periodic_tasks, run_periodic_task
from admin_ext.tests import celery_app as tasks

pytestmark = [pytest.mark.django_db, pytest.mark.database]

BEAT = "/admin/django_celery_beat/"
LIST = f"{BEAT}periodictask/"
LONG_AGO = timezone.now() - timedelta(days=9)
Clients = Callable[..., Client]


@pytest.fixture
def interval(db: None) -> IntervalSchedule:
    return IntervalSchedule.objects.create(every=15, period="minutes")


@pytest.fixture
def task(interval: IntervalSchedule) -> PeriodicTask:
    return PeriodicTask.objects.create(
        name="news", task="tests.work", interval=interval, last_run_at=LONG_AGO, args="[7]"
    )


@pytest.fixture
def owner(task: PeriodicTask) -> Group:
    group = Group.objects.create(name="Weekly news")
    register_schedule_owner(lambda found: group if found.pk == task.pk else None)
    return group


def form_of(client: Client, address: str) -> dict[str, Any]:
    form = client.get(address).context["adminform"].form
    values = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    return {name: value for name, value in values.items() if value not in (None, False)} | {
        "start_time_0": "", "start_time_1": "", "expires_0": "", "expires_1": "",
    }  # fmt: skip


def confirm(client: Client, address: str, data: dict[str, Any]) -> None:
    html = client.post(address, data).content.decode()
    moment = re.search(r'name="_moment" value="([^"]+)"', html)[1]
    client.post(address, data | {"_moment": moment})


def test_trap_9_a_schedule_in_use_is_not_deleted(
    task: PeriodicTask, interval: IntervalSchedule, client_for: Clients
) -> None:
    client = client_for(superuser=True)
    address = f"{BEAT}intervalschedule/{interval.pk}/"
    answer = client.post(f"{address}delete/", {"post": "yes"}, follow=True)
    assert "cannot be deleted: “news” would stop" in answer.content.decode()
    assert PeriodicTask.objects.exists()


def test_trap_9_nor_in_bulk(
    task: PeriodicTask, interval: IntervalSchedule, client_for: Clients
) -> None:
    client = client_for(superuser=True)
    free = IntervalSchedule.objects.create(every=1, period="days")
    data = {"action": "delete_selected", "_selected_action": [interval.pk, free.pk], "post": "yes"}
    answer = client.post(f"{BEAT}intervalschedule/", data)
    assert "Nothing was deleted" in answer.content.decode()
    assert IntervalSchedule.objects.count() == 2
    assert PeriodicTask.objects.exists()
    data["_selected_action"] = [free.pk]
    client.post(f"{BEAT}intervalschedule/", data)
    assert IntervalSchedule.objects.get() == interval


def test_an_owned_task_is_read_at_its_owners(
    task: PeriodicTask, owner: Group, client_for: Clients
) -> None:
    client = client_for(superuser=True)
    address = f"{LIST}{task.pk}/"
    html = client.get(f"{address}change/").content.decode()
    assert f'<a href="/admin/auth/group/{owner.pk}/change/">Weekly news</a>' in html
    assert 'name="_save"' not in html
    assert "run_now" not in html
    assert client.post(f"{address}change/", {"name": "x"}).status_code == 403
    assert client.post(f"{address}delete/", {"post": "yes"}).status_code == 403
    client.post(LIST, {"action": "delete_selected", "_selected_action": [task.pk], "post": "yes"})
    confirm(client, LIST, {"action": "disable_selected", "_selected_action": [task.pk]})
    task.refresh_from_db()
    assert task.enabled


def test_trap_6_a_changed_schedule_counts_from_now(task: PeriodicTask, client_for: Clients) -> None:
    client = client_for(superuser=True)
    address = f"{LIST}{task.pk}/change/"
    crontab = CrontabSchedule.objects.create(minute="0", hour="11")
    unchanged = form_of(client, address) | {"description": "only words"}
    assert client.post(address, unchanged).status_code == 302
    task.refresh_from_db()
    assert task.last_run_at == LONG_AGO
    assert (
        client.post(address, unchanged | {"interval": "", "crontab": crontab.pk}).status_code == 302
    )
    task.refresh_from_db()
    assert timezone.now() - task.last_run_at < timedelta(minutes=1)


def test_trap_6_also_when_the_schedule_itself_is_edited(
    task: PeriodicTask, interval: IntervalSchedule, client_for: Clients
) -> None:
    before = PeriodicTasks.last_change()
    address = f"{BEAT}intervalschedule/{interval.pk}/change/"
    client_for(superuser=True).post(address, {"every": "20", "period": "minutes"})
    task.refresh_from_db()
    assert timezone.now() - task.last_run_at < timedelta(minutes=1)
    assert PeriodicTasks.last_change() > before


def test_trap_6_no_start_on_a_crontab(task: PeriodicTask, client_for: Clients) -> None:
    client = client_for(superuser=True)
    address = f"{LIST}{task.pk}/change/"
    crontab = CrontabSchedule.objects.create(minute="0", hour="11")
    form = form_of(client, address) | {
        "interval": "",
        "crontab": crontab.pk,
        "start_time_0": "2027-01-01",
        "start_time_1": "00:00",
    }
    assert "A crontab cannot have a start" in client.post(address, form).content.decode()


def test_traps_7_and_8_switching_on_and_off_is_seen_and_counts_from_now(
    task: PeriodicTask, client_for: Clients
) -> None:
    client = client_for(superuser=True)
    for action, enabled in (("disable_selected", False), ("enable_selected", True)):
        before = PeriodicTasks.last_change()
        confirm(client, LIST, {"action": action, "_selected_action": [task.pk]})
        task.refresh_from_db()
        assert task.enabled is enabled
        assert PeriodicTasks.last_change() > before
    assert timezone.now() - task.last_run_at < timedelta(minutes=1)


def test_the_stock_actions_are_gone(task: PeriodicTask, client_for: Clients) -> None:
    html = client_for(superuser=True).get(LIST).content.decode()
    assert "toggle_tasks" not in html
    assert "run_tasks" not in html


def test_a_one_off_whose_time_is_over_is_not_switched_on(task: PeriodicTask) -> None:
    now = timezone.now()
    over = ClockedSchedule.objects.create(clocked_time=now - timedelta(hours=1))
    PeriodicTask.objects.update(interval=None, clocked=over, one_off=True, enabled=False)
    assert enable_periodic_tasks(PeriodicTask.objects.all(), now=now) == 0


def test_trap_8_run_now_sends_all_that_the_schedule_says(
    task: PeriodicTask, app: Celery, client_for: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    PeriodicTask.objects.update(
        kwargs='{"words": "x"}', queue="control", exchange="e", routing_key="r", priority=3,
        expire_seconds=60, headers='{"tenant": "a"}', last_run_at=LONG_AGO,
    )  # fmt: skip
    sent: dict[str, Any] = {}

    def apply_async(args: Any, kwargs: Any, **options: Any) -> Any:
        sent.update(options, args=args, kwargs=kwargs)
        return type("Result", (), {"id": "t1"})

    monkeypatch.setattr(tasks.work, "apply_async", apply_async)
    client = client_for("django_celery_beat.view_periodictask", "admin_ext.run_periodic_task")
    address = f"{LIST}{task.pk}/do/run_now/"
    html = client.get(address).content.decode()
    assert sent == {}
    client.post(address, {"_moment": re.search(r'name="_moment" value="([^"]+)"', html)[1]})
    assert sent == {
        "args": [7], "kwargs": {"words": "x"}, "queue": "control", "exchange": "e",
        "routing_key": "r", "priority": 3, "expires": 60,
        "headers": {"tenant": "a", "periodic_task_name": "news"},
    }  # fmt: skip
    task.refresh_from_db()
    assert timezone.now() - task.last_run_at < timedelta(minutes=1)
    assert task.total_run_count == 0, "a one-off that is still to come must come"


def test_run_now_is_refused_without_the_permission(task: PeriodicTask, client_for: Clients) -> None:
    client = client_for("django_celery_beat.change_periodictask")
    assert client.post(f"{LIST}{task.pk}/do/run_now/").status_code == 403


def test_run_now_after_its_end_is_a_sentence(task: PeriodicTask, make_user: Any) -> None:
    now = timezone.now()
    task.expires = now - timedelta(days=1)
    with pytest.raises(ActionRefused, match="has ended"):
        run_periodic_task(task, by=make_user(), now=now)


def test_rare_schedules_are_not_in_the_index_and_still_work(client_for: Clients) -> None:
    client = client_for(superuser=True)
    index = client.get("/admin/").content.decode()
    assert "clockedschedule" not in index
    assert "crontabschedule" in index
    assert client.get(f"{BEAT}clockedschedule/add/?_popup=1").status_code == 200
    assert client.get(f"{BEAT}solarschedule/add/?_popup=1").status_code == 200
