"""Each attempt of each task is one row, whatever is sent and in what order (trap 34)."""

import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.exceptions import WorkerLostError
from celery import Celery, signals
from celery.app.task import Context
from django.db import DatabaseError
from django.utils import timezone
from django_celery_results.models import TaskResult

from admin_ext import attempts, registry
from admin_ext.models import AttemptState, Heartbeat, TaskAttempt
from admin_ext.tests import celery_app as tasks

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def only_attempt() -> TaskAttempt:
    return TaskAttempt.objects.get()


class FakeTask:
    """What a signal's sender has of a task, with the request of one attempt."""

    name = "tests.fake"
    ignore_result = False

    def __init__(self, **request: Any) -> None:
        self.request = Context(
            {"id": "t1", "retries": 0, "hostname": "mail@host", "args": [], "kwargs": {}} | request
        )

    def start(self) -> None:
        signals.task_prerun.send(self, task_id="t1", task=self, args=[1], kwargs={})

    def fail(self, exception: Exception) -> None:
        signals.task_failure.send(
            self, task_id="t1", exception=exception, einfo=SimpleNamespace(traceback="Traceback…")
        )

    def succeed(self) -> None:
        signals.task_success.send(self, result=1)


def test_a_success(eager: Celery) -> None:
    result = tasks.work.delay(7, words="x" * 3000)
    attempt = only_attempt()
    assert (attempt.task_id, attempt.retries, attempt.name) == (result.id, 0, "tests.work")
    assert attempt.state == AttemptState.SUCCEEDED
    assert attempt.duration is not None
    assert attempt.arguments() == ([7], {"words": "x" * 3000}), "whole, not its first kilobyte"


def test_a_failure_keeps_one_line_and_the_traceback(eager: Celery) -> None:
    tasks.fail.delay("two\nlines")
    attempt = only_attempt()
    assert attempt.state == AttemptState.FAILED
    assert attempt.error == "ValueError: two lines"
    assert "Traceback (most recent call last)" in attempt.traceback


def test_a_nul_in_an_error_is_no_reason_to_lose_it() -> None:
    task = FakeTask()
    task.start()
    task.fail(ValueError("a\x00b"))  # PostgreSQL stores no NUL
    assert only_attempt().error == "ValueError: a\N{REPLACEMENT CHARACTER}b"


def test_retries_are_attempts_of_their_own(eager: Celery) -> None:
    result = tasks.retry_twice.delay()
    found = list(TaskAttempt.objects.of_task(result.id).values_list("retries", "state", "error"))
    assert found == [
        (0, "retried", "OSError: not yet"),
        (1, "retried", "OSError: not yet"),
        (2, "succeeded", ""),
    ]
    assert TaskResult.objects.count() == 1, "Celery's own table has the last only"


def test_tasks_that_ignore_their_result_are_not_recorded(eager: Celery) -> None:
    tasks.quiet.delay()
    tasks.work.apply_async([1], ignore_result=True)
    assert not TaskAttempt.objects.exists()


def test_ignored_and_rejected_are_closed(eager: Celery) -> None:
    tasks.ignored.delay()
    tasks.rejected.delay()
    states = dict(TaskAttempt.objects.values_list("name", "state"))
    assert states == {"tests.ignored": "succeeded", "tests.rejected": "failed"}


def test_arguments_that_are_no_plain_json_come_back_as_they_were(eager: Celery) -> None:
    when = datetime(2026, 11, 23, 9, tzinfo=UTC)
    tasks.work.delay(when)
    assert only_attempt().arguments() == ([when], {})


def test_arguments_that_are_no_json_at_all() -> None:
    task = FakeTask()
    signals.task_prerun.send(task, task_id="t1", task=task, args=[object()], kwargs={})
    assert only_attempt().arguments() is None


def test_the_object_it_works_on(eager: Celery) -> None:
    registry.register_task(
        "tests.work", label="Work", object_of=lambda args, kwargs: ("Auth.Group", args[0])
    )
    tasks.work.delay(7)
    assert [a.object_pk for a in TaskAttempt.objects.of_object("auth.Group", 7)] == ["7"]


def test_a_wrong_registration_does_not_cost_the_record(eager: Celery) -> None:
    registry.register_task("tests.work", label="Work", object_of=lambda args, kwargs: 1 / 0)
    tasks.work.delay(7)
    assert only_attempt().state == AttemptState.SUCCEEDED


def test_it_never_raises_into_the_task(
    eager: Celery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("database is locked")

    monkeypatch.setattr(attempts, "open_attempt", broken)
    with caplog.at_level(logging.WARNING):
        assert tasks.work.delay(7).get() == 7
    assert "database is locked" in caplog.text
    assert only_attempt().state == AttemptState.SUCCEEDED, "its end is kept without its start"


def test_a_lost_child_is_told_by_the_main_process() -> None:
    task = FakeTask()
    task.start()
    task.fail(WorkerLostError("signal 9"))
    assert only_attempt().state == AttemptState.LOST


def test_the_hard_limit_comes_without_the_request_and_twice() -> None:
    FakeTask(retries=2).start()
    main = FakeTask(id=None, retries=0)
    main.fail(TimeoutError("TimeLimitExceeded(1)"))
    FakeTask(retries=2).fail(TimeoutError("TimeLimitExceeded(1)"))
    attempt = only_attempt()
    assert (attempt.retries, attempt.state) == (2, AttemptState.FAILED)


def test_what_is_closed_stays_closed() -> None:
    task = FakeTask()
    task.start()
    task.succeed()
    task.fail(WorkerLostError("afterwards"))
    assert only_attempt().state == AttemptState.SUCCEEDED


def test_a_redelivered_message_counts_its_starts() -> None:
    FakeTask().start()
    FakeTask(hostname="other@host").start()
    attempt = only_attempt()
    assert (attempt.starts, attempt.worker, attempt.state) == (2, "other@host", "running")


def test_a_frozen_worker_cannot_close_what_another_was_given() -> None:
    frozen, other = FakeTask(), FakeTask(hostname="other@host")
    frozen.start()
    other.start()
    frozen.succeed()
    assert only_attempt().state == AttemptState.RUNNING
    other.succeed()
    assert only_attempt().state == AttemptState.SUCCEEDED


def test_a_revocation_closes_only_what_ran() -> None:
    request = SimpleNamespace(id="t1")
    signals.task_revoked.send(FakeTask(id=None), request=request, terminated=False, expired=True)
    assert not TaskAttempt.objects.exists()
    FakeTask().start()
    signals.task_revoked.send(FakeTask(id=None), request=request, terminated=True)
    assert only_attempt().state == AttemptState.FAILED


def heartbeat(name: str, now: datetime, *, started: timedelta, seen: timedelta) -> None:
    Heartbeat.objects.create(
        kind="worker", name=name, host="h", pid=1, started_at=now - started, seen_at=now - seen
    )


def test_orphans_are_called_lost() -> None:
    now, minute = timezone.now(), timedelta(minutes=1)
    heartbeat("alive", now, started=60 * minute, seen=0 * minute)
    heartbeat("silent", now, started=60 * minute, seen=1 * minute)
    heartbeat("restarted", now, started=2 * minute, seen=0 * minute)
    for number, (worker, age) in enumerate(
        [("alive", 9), ("silent", 9), ("restarted", 9), ("restarted", 1), ("gone", 9), ("gone", 0)]
    ):
        TaskAttempt.objects.create(
            task_id=str(number), retries=0, name="t", worker=worker, started_at=now - age * minute
        )
    assert attempts.close_orphans(now) == 3
    lost = TaskAttempt.objects.filter(state="lost").values_list("task_id", flat=True)
    assert set(lost) == {"1", "2", "4"}
    assert attempts.close_orphans(now) == 0


def test_what_was_called_lost_may_still_be_finished() -> None:
    task = FakeTask()
    task.start()
    attempts.close_orphans(timezone.now() + timedelta(minutes=5))
    assert only_attempt().state == AttemptState.LOST
    task.succeed()
    assert only_attempt().state == AttemptState.SUCCEEDED


def test_purge_takes_the_oldest_in_pieces() -> None:
    now = timezone.now()
    for number in range(5):
        TaskAttempt.objects.create(
            task_id=str(number), retries=0, name="t", started_at=now - timedelta(days=number)
        )
    before = now - timedelta(days=1.5)
    assert [attempts.purge_attempts(before, limit=2) for _ in range(3)] == [2, 1, 0]
    assert TaskAttempt.objects.count() == 2
