"""Task results in the admin: read-only, quick on many rows, run again by those who may."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from django.contrib import admin
from django.test import Client
from django_celery_results.models import GroupResult, TaskResult

from admin_ext.models import TaskAttempt
from admin_ext.registry import register_task
from admin_ext.tests import celery_app as tasks

pytestmark = [pytest.mark.django_db, pytest.mark.database]

LIST = "/admin/django_celery_results/taskresult/"
VIEW, RETRY = "django_celery_results.view_taskresult", "admin_ext.retry_task"
Clients = Callable[..., Client]


@pytest.fixture(autouse=True)
def _registered() -> None:
    register_task(
        "tests.work",
        label="Work on a user",
        object_of=lambda args, kwargs: ("auth.user", args[0]),
    )
    register_task("tests.fail", label="Fail")


@pytest.fixture
def failed(eager: Celery) -> TaskResult:
    tasks.fail.delay("broken pipe")
    return TaskResult.objects.get()


def page(result: TaskResult) -> str:
    return f"{LIST}{result.pk}/change/"


def test_group_results_are_gone_from_the_admin() -> None:
    assert not admin.site.is_registered(GroupResult)


@pytest.mark.parametrize("address", ["add/", "{pk}/delete/"])
def test_even_a_superuser_only_reads(failed: TaskResult, client_for: Clients, address: str) -> None:
    client = client_for(superuser=True)
    assert client.get(LIST + address.format(pk=failed.pk)).status_code == 403
    assert client.post(page(failed), {"status": "SUCCESS"}).status_code == 403
    assert "delete_selected" not in client.get(LIST).content.decode()


def test_the_list_says_what_it_worked_on(eager: Celery, client_for: Clients) -> None:
    tasks.work.delay(7)
    html = client_for(superuser=True).get(LIST).content.decode()
    assert "Work on a user" in html
    assert '<a href="/admin/auth/user/7/change/">User 7</a>' in html
    assert '<span class="badge badge-success">Succeeded</span>' in html


def test_the_list_takes_as_many_queries_for_many_rows(
    eager: Celery, client_for: Clients, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        tasks.work.delay(number)
    client = client_for(superuser=True)
    with django_assert_max_num_queries(8) as queries:
        client.get(LIST)
    assert "DISTINCT" not in " ".join(query["sql"] for query in queries.captured_queries)


def test_a_lost_worker_is_told_though_its_result_was_never_written(client_for: Clients) -> None:
    TaskResult.objects.create(task_id="t1", status="STARTED", task_name="tests.work")
    TaskAttempt.objects.create(
        task_id="t1", retries=0, name="tests.work", state="lost", started_at="2026-11-23T00:00Z"
    )
    assert "badge-lost" in client_for(superuser=True).get(LIST).content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?status=FAILURE", 1), ("?status=SUCCESS", 2), ("?task_name=tests.work", 2),
        ("?q=on+a+USER", 2), ("?q=tests.fa", 1), ("?q=nothing", 0), ("?status=x%27", 3),
    ],
)  # fmt: skip
def test_filters_and_search(eager: Celery, client_for: Clients, query: str, found: int) -> None:
    tasks.work.delay(1)
    tasks.work.delay(2)
    tasks.fail.delay()
    html = client_for(superuser=True).get(LIST + query).content.decode()
    assert html.count('class="action-select"') == found


def test_search_by_task_id(failed: TaskResult, client_for: Clients) -> None:
    html = client_for(superuser=True).get(f"{LIST}?q={failed.task_id}").content.decode()
    assert html.count('class="action-select"') == 1


def test_the_page_shows_arguments_result_traceback_and_attempts(
    eager: Celery, client_for: Clients
) -> None:
    tasks.retry_twice.delay()
    tasks.fail.delay("<script>alert(1)</script>")
    tasks.work.delay(3, words="w" * 2000)
    pages = {
        result.task_name: client_for(superuser=True).get(page(result)).content.decode()
        for result in TaskResult.objects.all()
    }
    assert pages["tests.retry_twice"].count("badge-retried") == 2
    assert "Traceback (most recent call last)" in pages["tests.fail"]
    assert "<script>alert" not in pages["tests.fail"]
    assert "w" * 2000 in pages["tests.work"], "whole"


def test_run_again_from_its_page(failed: TaskResult, client_for: Clients) -> None:
    client = client_for(VIEW, RETRY)
    address = f"{LIST}{failed.pk}/do/run_again/"
    assert address in client.get(page(failed)).content.decode()
    asked = client.get(address).content.decode()
    assert TaskResult.objects.count() == 1
    moment = re.search(r'name="_moment" value="([^"]+)"', asked)[1]
    answer = client.post(address, {"_moment": moment})
    again = TaskResult.objects.exclude(pk=failed.pk).get()
    assert answer.url == page(again)


def test_a_viewer_cannot_run_again(failed: TaskResult, client_for: Clients) -> None:
    client = client_for(VIEW)
    assert "run_again" not in client.get(page(failed)).content.decode()
    assert "run_again_selected" not in client.get(LIST).content.decode()
    assert client.post(f"{LIST}{failed.pk}/do/run_again/").status_code == 403
    client.post(LIST, {"action": "run_again_selected", "_selected_action": [failed.pk]})
    assert TaskResult.objects.count() == 1


def test_run_again_many_says_how_many_and_why_not_the_others(
    eager: Celery, client_for: Clients
) -> None:
    tasks.fail.delay("a")
    tasks.fail.delay("b")
    tasks.retry_twice.delay()  # not registered
    client = client_for(VIEW, RETRY)
    chosen = {"_selected_action": list(TaskResult.objects.values_list("pk", flat=True))}
    asked = client.post(LIST, {"action": "run_again_selected", "index": "0"} | chosen)
    html = asked.content.decode()
    assert "3 tasks are sent to the queue again" in html
    moment = re.search(r'name="_moment" value="([^"]+)"', html)[1]
    client.post(LIST, {"action": "run_again_selected", "_moment": moment} | chosen)
    assert TaskResult.objects.count() == 5
    said = client.get(LIST).content.decode()
    assert "2 tasks were sent again. 1 was not: This kind of task cannot be run again" in said


def _asked(client: Client, result: TaskResult) -> str:
    return client.get(f"{LIST}{result.pk}/do/run_again/").content.decode()


def test_the_question_is_headed_by_the_task_and_its_object_in_words(
    eager: Celery, client_for: Clients
) -> None:
    tasks.work.delay(7)
    tasks.fail.delay("x")
    client = client_for(VIEW, RETRY)
    worked, failed = TaskResult.objects.order_by("task_name").reverse()
    assert "<strong>Work on a user: User 7</strong>" in _asked(client, worked)
    assert "<strong>Fail</strong>" in _asked(client, failed)
    assert "&lt;Task" not in _asked(client, worked) + _asked(client, failed)


def test_only_idempotent_tasks_are_promised_not_to_do_it_twice(
    eager: Celery, client_for: Clients
) -> None:
    promise = "What was done already is not done twice."
    tasks.work.delay(7)
    tasks.fail.delay("x")
    client = client_for(VIEW, RETRY)
    worked, failed = TaskResult.objects.order_by("task_name").reverse()

    def asked_of(*chosen: TaskResult) -> str:
        rows = {"_selected_action": [result.pk for result in chosen]}
        return client.post(LIST, {"action": "run_again_selected", **rows}).content.decode()

    assert promise in asked_of(worked, failed)
    register_task("tests.fail", label="Fail", idempotent=False)
    assert promise in _asked(client, worked)
    assert promise in asked_of(worked)
    assert promise not in _asked(client, failed)
    assert promise not in asked_of(worked, failed)
