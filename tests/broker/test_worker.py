"""A real Celery worker on the embedded broker: work, kill, ask, watch, shut down."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker import celery_app
from tests.broker.processes import read_lines, wait_until

pytestmark = [pytest.mark.timeout(60), pytest.mark.system]

ROOT = Path(__file__).parents[2]
app = celery_app.app

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(autouse=True)
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(celery_app, "FOLDER", tmp_path)
    monkeypatch.setitem(app.conf, "broker_url", f"filesystem://{tmp_path}/broker")
    monkeypatch.setitem(app.conf, "broker_read_url", f"filesystem://{tmp_path}/broker")
    monkeypatch.setitem(app.conf, "broker_write_url", f"filesystem://{tmp_path}/broker")
    yield
    app.pool.force_close_all()
    app._after_fork()  # the next test's connections go to the next test's folder
    app.__dict__.pop("control", None)


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *, queues: str = "celery", concurrency: int = 2) -> Any:
        log = tmp_path / f"{name}.{len(started)}.log"
        command = [sys.executable, "-m", "celery", "-A", "tests.broker.celery_app", "worker"]
        command += ["-n", f"{name}@test", "-Q", queues, "-c", str(concurrency), "-l", "INFO"]
        # BROKER_URL too: the celery command obeys it before the application's settings.
        url = f"filesystem://{tmp_path}/broker"
        folder = {"BROKER_TEST_FOLDER": str(tmp_path), "BROKER_URL": url}
        with log.open("wb") as output:
            worker = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        started.append(worker)
        wait_until(lambda: " ready." in log.read_text())
        return worker

    yield start
    for worker in started:
        worker.kill()
        worker.wait()
    for log in sorted(tmp_path.glob("*.log")):
        print(log.read_text())  # pytest shows it when the test failed
    print(*sorted((tmp_path / "broker").rglob("*")), sep="\n")


def runs(tmp_path: Path, what: str) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for line in read_lines(tmp_path / "runs"):
        if line.startswith(what):
            number, again, *rest = line.split()[1:]
            found.setdefault(int(number), []).append(" ".join([again, *rest]))
    return found


def test_a_killed_workers_tasks_all_run(start_worker: Start, tmp_path: Path) -> None:
    worker = start_worker("one")
    for number in range(20):
        celery_app.log_run.delay(number, 0.15)
    wait_until(lambda: len(runs(tmp_path, "start")) >= 6)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    cut_short = runs(tmp_path, "start").keys() - runs(tmp_path, "end").keys()
    start_worker("one")
    wait_until(lambda: len(runs(tmp_path, "end")) == 20)
    assert cut_short
    for number in cut_short:
        assert runs(tmp_path, "start")[number][-1].startswith("1 ")
    with app.connection_for_read() as connection:
        assert connection.default_channel.queue_declare("celery", passive=True).message_count == 0


def test_pool_processes_killed_while_they_wait_do_not_stop_the_worker(
    start_worker: Start, tmp_path: Path
) -> None:
    worker = start_worker("one")
    for number in range(3):
        celery_app.log_run.delay(number)
        wait_until(lambda number=number: number in runs(tmp_path, "end"))
        for child in children(worker.pid):
            os.kill(child, signal.SIGKILL)
        wait_until(lambda: len(children(worker.pid)) == 2)


def children(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(child) for child in listed.stdout.split() if is_running(int(child))]


def is_running(pid: int) -> bool:
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(shown.stdout.strip()) and not shown.stdout.startswith("Z")


def test_it_answers_starts_soon_and_shuts_down(start_worker: Start, tmp_path: Path) -> None:
    worker = start_worker("one")
    assert app.control.ping(timeout=5, limit=1) == [{"one@test": {"ok": "pong"}}]

    delays = []
    for number in range(10):
        called = time.time()
        celery_app.log_run.delay(number)
        wait_until(lambda number=number: number in runs(tmp_path, "end"))
        delays.append(float(runs(tmp_path, "start")[number][0].split()[1]) - called)
    assert sorted(delays)[5] < 0.2

    celery_app.log_run.delay(99, 1.5)
    wait_until(lambda: 99 in runs(tmp_path, "start"))
    inspect = app.control.inspect(destination=["one@test"], timeout=5)
    (active,) = inspect.active()["one@test"]
    assert active["args"] == [99, 1.5]

    ready = tmp_path / "broker" / "ready"
    wait_until(lambda: not [path for path in ready.iterdir() if "reply" in path.name])
    app.control.shutdown()
    assert worker.wait(timeout=15) == 0
    assert 99 in runs(tmp_path, "end")  # warm: the task it had ran to its end
    assert [path.name for path in ready.rglob("*")] == ["celery"]


def test_short_tasks_do_not_wait_for_the_next_poll(start_worker: Start, tmp_path: Path) -> None:
    for number in range(100):
        celery_app.log_run.delay(number)
    start_worker("one", concurrency=1)
    wait_until(lambda: len(runs(tmp_path, "end")) == 100)
    times = sorted(float(lines[0].split()[1]) for lines in runs(tmp_path, "end").values())
    assert times[-1] - times[0] < 5  # at one a poll it would be ten


def test_events_reach_a_receiver(start_worker: Start) -> None:
    start_worker("one")
    seen: list[str] = []

    def note(event: dict[str, Any]) -> None:
        seen.append(event["type"])
        if event["type"] == "task-succeeded":
            receiver.should_stop = True

    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": note})
        with receiver.consumer_context(wakeup=False) as (_, channel, _):
            celery_app.log_run.delay(1)
            wait_until(lambda: drain(channel.connection.client) or "task-succeeded" in seen)
    assert {"task-received", "task-started", "task-succeeded"} <= set(seen)


def drain(connection: Any) -> None:
    try:
        connection.drain_events(timeout=0.2)
    except TimeoutError:
        return


def test_two_workers_keep_to_their_queues(start_worker: Start, tmp_path: Path) -> None:
    start_worker("one", queues="mail", concurrency=1)
    start_worker("two", queues="mail.control", concurrency=1)
    for number in range(10):
        celery_app.log_run.apply_async((number,), queue="mail" if number % 2 else "mail.control")
    wait_until(lambda: len(runs(tmp_path, "end")) == 10)
    for number, lines in runs(tmp_path, "end").items():
        assert [line.split()[-1] for line in lines] == ["one@test" if number % 2 else "two@test"]
    answers = app.control.ping(timeout=5, destination=["one@test", "two@test"])
    assert sorted(name for answer in answers for name in answer) == ["one@test", "two@test"]
