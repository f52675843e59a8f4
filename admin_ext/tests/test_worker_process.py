"""A real worker: what its child and its main process record, its heartbeat, its death."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.utils import timezone

from admin_ext.attempts import close_orphans
from admin_ext.heartbeats import live_processes
from admin_ext.models import Heartbeat, TaskAttempt
from admin_ext.registry import register_task
from admin_ext.retrying import retry_task
from admin_ext.tests import celery_app as tasks
from admin_ext.tests.processes import celery, kill, wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.system,
]

WORKER = ("worker", "--concurrency=2", "--hostname=w@h", "--without-mingle", "--loglevel=INFO")


@pytest.fixture
def publish(app: Celery, process_environment: dict[str, str], monkeypatch: Any) -> Any:
    folder = process_environment["ADMIN_EXT_TEST_BROKER"]
    options = dict.fromkeys(("data_folder_in", "data_folder_out", "control_folder"), folder)
    monkeypatch.setitem(app.conf, "broker_transport_options", options)
    app._after_fork()  # its pooled connections know the folder of another test
    yield app
    app._after_fork()


def states() -> list[tuple[str, int, str]]:
    return sorted(TaskAttempt.objects.values_list("name", "retries", "state"))


def test_a_worker_from_start_to_end(
    publish: Celery,
    process_environment: dict[str, str],
    tmp_path: Path,
    make_user: Callable[..., Any],
) -> None:
    log = tmp_path / "log"
    with celery(process_environment, log, *WORKER) as worker:
        wait_until(Heartbeat.objects.exists, log=log)
        heartbeat = Heartbeat.objects.get()
        assert (heartbeat.name, heartbeat.pid, heartbeat.processes) == ("w@h", worker.pid, 2)
        assert live_processes("work", timezone.now()) == 2
        assert live_processes("other", timezone.now()) == 0

        work = tasks.work.delay(1, words="x")
        tasks.quiet.delay()
        tasks.fail.delay()
        tasks.retry_twice.delay()
        tasks.die.delay()
        tasks.slow.delay()
        expected = [
            ("tests.die", 0, "lost"),
            ("tests.fail", 0, "failed"),
            ("tests.retry_twice", 0, "retried"),
            ("tests.retry_twice", 1, "retried"),
            ("tests.retry_twice", 2, "succeeded"),
            ("tests.slow", 0, "failed"),
            ("tests.work", 0, "succeeded"),
        ]
        wait_until(lambda: states() == expected, log=log)

        # Its child was killed twice and forked anew beside the heartbeat's thread: all still work.
        register_task("tests.work", label="Work")
        first = TaskAttempt.objects.get(task_id=work.id)
        assert (first.queue, first.worker) == ("work", "w@h")
        again = retry_task(first, by=make_user(), now=timezone.now())
        done = TaskAttempt.objects.filter(task_id=again, state="succeeded")
        wait_until(done.exists, log=log)
        assert done.get().retry_of == work.id
        assert done.get().arguments() == ([1], {"words": "x"})

        worker.terminate()
        worker.wait(timeout=20)
    assert not Heartbeat.objects.exists(), log.read_text()


def test_a_killed_worker_leaves_an_orphan(
    publish: Celery, process_environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with celery(process_environment, log, *WORKER) as worker:
        tasks.wait.delay(60)
        wait_until(TaskAttempt.objects.running().exists, log=log)
        kill(worker)
    now = timezone.now()
    assert close_orphans(now) == 0, "not before its silence is long enough"
    assert close_orphans(now + timedelta(minutes=1)) == 1
    assert states() == [("tests.wait", 0, "lost")]
