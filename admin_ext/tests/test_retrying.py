"""Running a task again by hand: what is refused, and that it is done once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.utils import timezone
from django_celery_results.models import TaskResult

from admin_ext import retrying
from admin_ext.components.outcome import ActionRefused
from admin_ext.models import TaskAttempt
from admin_ext.registry import register_task
from admin_ext.retrying import RetryRefused, retry_task
from admin_ext.tests import celery_app as tasks

pytestmark = [pytest.mark.django_db, pytest.mark.database]

NOW = timezone.now()


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    return make_user()


def attempt(task_id: str = "t1", state: str = "failed", **fields: Any) -> TaskAttempt:
    values = {"name": "tests.work", "args": "[1]", "kwargs": "{}", "started_at": NOW}
    return TaskAttempt.objects.create(
        task_id=task_id, state=state, **(values | {"retries": 0} | fields)
    )


def sent_as(task_id: str) -> Callable[..., str]:
    return lambda attempt, by: task_id


def test_the_same_is_sent_again(eager: Celery, user: User) -> None:
    register_task("tests.fail", label="Fail")
    when = datetime(2026, 11, 23, tzinfo=UTC)
    tasks.fail.apply_async([when], routing_key="other")
    first = TaskAttempt.objects.get()
    task_id = retry_task(first, by=user, now=NOW)
    again = TaskAttempt.objects.get(task_id=task_id)
    assert again.arguments() == ([when], {}), "a datetime is a datetime again"
    assert again.retry_of == first.task_id
    first.refresh_from_db()
    assert first.retried_as == task_id


def test_it_is_sent_to_the_same_queue_with_the_header(app: Celery, user: User, monkeypatch) -> None:
    register_task("tests.work", label="Work")
    sent: dict[str, Any] = {}

    def apply_async(args: Any, kwargs: Any, **options: Any) -> Any:
        sent.update(options, args=args, kwargs=kwargs)
        return type("Result", (), {"id": "t2"})

    monkeypatch.setattr(tasks.work, "apply_async", apply_async)
    assert retry_task(attempt(queue="control"), by=user, now=NOW) == "t2"
    assert sent == {
        "args": [1], "kwargs": {}, "queue": "control", "headers": {"retry_of": "t1"},
    }  # fmt: skip


def test_who_did_it_is_on_record(user: User) -> None:
    register_task("tests.work", label="Work", retry=sent_as("t2"))
    result = TaskResult.objects.create(task_id="t1")
    retry_task(attempt(), by=user, now=NOW)
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (user, str(result.pk))
    assert "t2" in entry.change_message


@pytest.mark.parametrize(
    ("retry", "registered"), [(None, True), (sent_as("t2"), False)], ids=["never", "unknown"]
)
def test_only_what_is_registered_as_repeatable(user: User, retry: Any, registered: bool) -> None:
    if registered:
        register_task("tests.work", label="Work", retry=retry)
    with pytest.raises(RetryRefused, match="cannot be run again"):
        retry_task(attempt(), by=user, now=NOW)


@pytest.mark.parametrize(
    ("state", "words"), [("running", "still running"), ("retried", "by itself")]
)
def test_not_beside_itself(user: User, state: str, words: str) -> None:
    register_task("tests.work", label="Work", retry=sent_as("t2"))
    first = attempt(retries=0, state="failed")
    attempt(retries=1, state=state)
    with pytest.raises(RetryRefused, match=words):
        retry_task(first, by=user, now=NOW)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("running", "already"),
        ("succeeded", "succeeded"),
        ("retried", "already"),
        (None, "not started"),
    ],
)
def test_not_twice(user: User, state: str | None, words: str) -> None:
    register_task("tests.work", label="Work", retry=sent_as("t2"))
    first = attempt()
    retry_task(first, by=user, now=NOW)
    if state:
        attempt("t2", state, retry_of="t1")
    with pytest.raises(RetryRefused, match=words):
        retry_task(first, by=user, now=NOW)


@pytest.mark.parametrize("state", ["failed", "lost"])
def test_once_more_after_the_retry_failed_too(user: User, state: str) -> None:
    register_task("tests.work", label="Work", retry=sent_as("t2"))
    retry_task(attempt(), by=user, now=NOW)
    register_task("tests.work", label="Work", retry=sent_as("t3"))
    second = attempt("t2", state, retry_of="t1")
    assert retry_task(second, by=user, now=NOW) == "t3"
    attempt("t3", "succeeded", retry_of="t2")
    with pytest.raises(RetryRefused, match="succeeded"):
        retry_task(TaskAttempt.objects.get(task_id="t1"), by=user, now=NOW)


def test_a_retry_that_was_lost_on_the_way_may_be_sent_again(user: User) -> None:
    register_task("tests.work", label="Work", retry=sent_as("t2"))
    retry_task(attempt(), by=user, now=NOW)
    first = TaskAttempt.objects.get()
    assert retry_task(first, by=user, now=NOW + timedelta(hours=2)) == "t2"


def test_a_retry_that_was_revoked_may_be_sent_again(user: User) -> None:
    register_task("tests.work", label="Work", retry=sent_as("t2"))
    retry_task(attempt(), by=user, now=NOW)
    TaskResult.objects.create(task_id="t2", status="REVOKED")
    assert retry_task(TaskAttempt.objects.get(), by=user, now=NOW) == "t2"


def test_of_two_at_once_one_is_sent(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    def retry(attempt: TaskAttempt, by: User) -> str:
        sent.append(attempt.task_id)
        return f"t{len(sent) + 1}"

    register_task("tests.work", label="Work", retry=retry)
    check = retrying.refuse_second_retry

    def check_while_another_is_quicker(latest: TaskAttempt, now: datetime) -> None:
        monkeypatch.setattr(retrying, "refuse_second_retry", check)
        retry_task(latest, by=user, now=now)

    monkeypatch.setattr(retrying, "refuse_second_retry", check_while_another_is_quicker)
    with pytest.raises(RetryRefused, match="already"):
        retry_task(attempt(), by=user, now=NOW)
    assert sent == ["t1"]


def test_a_broker_that_is_down_is_a_sentence_and_leaves_no_claim(
    app: Celery, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_task("tests.work", label="Work")

    def apply_async(*args: Any, **options: Any) -> Any:
        raise ConnectionRefusedError("[Errno 111] Connection refused")

    monkeypatch.setattr(tasks.work, "apply_async", apply_async)
    first = attempt()
    with pytest.raises(ActionRefused, match=r"did not take it .*Connection refused"):
        retry_task(first, by=user, now=NOW)
    first.refresh_from_db()
    assert first.retried_at is None


def test_arguments_that_were_not_kept(user: User) -> None:
    register_task("tests.work", label="Work")
    with pytest.raises(ActionRefused, match="could not be kept"):
        retry_task(attempt(args=None), by=user, now=NOW)
