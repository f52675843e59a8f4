"""The launcher: what it says before it starts anything, and how its processes end."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from site_config.launch_lock import LaunchLock
from tests.readme.checkout import ROOT, clean_environment, free_port

OWN_GROUP = """
import sys
from site_config.processes import Processes
commands = dict(word.split(":", 1) for word in sys.argv[1:])
sys.exit(Processes(commands, stopped_last="inbox").run(
    given_up=lambda: False, once_started=lambda: print("started", flush=True)))
"""


def launch(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "site_config.launch", "--demo"],
        cwd=ROOT, env=clean_environment(**environment), capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["PORT", "SMTP_PORT"])
def test_a_taken_port_is_one_line_that_names_it(name: str, tmp_path: Path) -> None:
    ports = {"PORT": free_port(), "SMTP_PORT": free_port()}
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", ports[name]))
        listener.listen()
        done = launch(MAILROOM_VAR=str(tmp_path), **{n: str(p) for n, p in ports.items()})
    port = ports[name]
    assert done.stderr == (
        f"Port {port} is taken. Choose another one: {name}={port + 10} make demo\n"
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert not list(tmp_path.iterdir()), "nothing was begun"


HOLDS_IT = """
import sys, time
from pathlib import Path
from site_config.launch_lock import LaunchLock
lock = LaunchLock(Path(sys.argv[1]))
lock.take("http://127.0.0.1:18000/admin/")
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_one_on_the_same_folder_says_where_the_first_is(tmp_path: Path) -> None:
    ports = {"PORT": str(free_port()), "SMTP_PORT": str(free_port())}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_IT, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        done = launch(MAILROOM_VAR=str(tmp_path), **ports)
        first.kill()
    assert done.stderr == (
        f"Mailroom already runs here at http://127.0.0.1:18000/admin/ (process {first.pid})."
        " Stop it first, or choose another folder: MAILROOM_VAR=var2 make demo\n"
    )
    assert (done.returncode, done.stdout) == (1, "")


def test_a_lock_is_gone_with_its_process(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_IT, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        first.stdout.readline()
        first.kill()
    LaunchLock(tmp_path).check()


@pytest.mark.parametrize("port", ["http", "0", "70000", "-1"])
def test_a_port_that_is_none(port: str) -> None:
    done = launch(PORT=port)
    assert done.stderr == f"PORT={port} is not a port: choose a number, PORT=18000\n"


def test_one_port_for_both() -> None:
    port = str(free_port())
    assert "are both" in launch(PORT=port, SMTP_PORT=port).stderr


def test_a_malformed_setting_is_one_line(tmp_path: Path) -> None:
    done = launch(
        MAILROOM_VAR=str(tmp_path), PORT=str(free_port()), SMTP_PORT=str(free_port()),
        RELAY_URL="nonsense",
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("RELAY_URL must look like")
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def group(log: Path) -> Iterator[subprocess.Popen[str]]:
    """A worker that needs a second to stop, and the inbox it needs for it; both log."""
    trap = "sh -c 'trap \"sleep {0}; echo {1} >> {2}; exit\" TERM; while :; do sleep 0.05; done'"
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            OWN_GROUP,
            "inbox:" + trap.format(0, "inbox", log),
            "worker:" + trap.format(1, "worker", log),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as group:
        assert group.stdout is not None
        assert group.stdout.readline() == "started\n"
        time.sleep(0.5)
        yield group
        group.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_inbox_outlives_what_needs_it(
    group: subprocess.Popen[str], log: Path, number: signal.Signals
) -> None:
    group.send_signal(number)
    assert group.wait(10) == 0
    assert log.read_text().split() == ["worker", "inbox"]


def test_asked_twice_it_does_not_wait(group: subprocess.Popen[str], log: Path) -> None:
    group.send_signal(signal.SIGINT)
    time.sleep(0.3)
    group.send_signal(signal.SIGINT)
    assert group.wait(0.9) == 0
    assert not log.exists() or "worker" not in log.read_text()


def test_nothing_is_left_when_the_launcher_is_killed(
    group: subprocess.Popen[str], log: Path
) -> None:
    group.kill()
    deadline = time.monotonic() + 10
    while not log.exists() or sorted(log.read_text().split()) != ["inbox", "worker"]:
        assert time.monotonic() < deadline, "somebody was not told"
        time.sleep(0.05)


def test_one_that_ends_by_itself_stops_the_others() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OWN_GROUP, "inbox:sleep 60", "worker:sh -c 'echo oh; exit 3'"],
        cwd=ROOT, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "worker | oh" in done.stdout
    assert "worker ended by itself (exit code 3), so everything was stopped." in done.stdout


def test_output_that_nobody_reads_stops_nothing(log: Path) -> None:
    loop = "i=0; while [ $i -lt 3000 ]; do echo {0}; i=$((i+1)); done; echo all > {1}"
    chatter = f"sh -c '{loop.format('x' * 100, log)}'"
    with subprocess.Popen(
        [sys.executable, "-c", OWN_GROUP, f"worker:{chatter}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as group:
        assert group.stdout is not None
        group.stdout.close()
        group.wait(20)
    assert log.read_text() == "all\n"
