"""Who is alive: the question on which a message is taken back or left alone."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from site_config import process_identity
from site_config.process_identity import is_alive, own_identity, started_at
from tests.broker.processes import fork, wait_until

pytestmark = pytest.mark.timeout(30)


def identity(**changes: str) -> str:
    names = ("boot", "namespace", "pid", "start", "token")
    return ".".join((dict(zip(names, own_identity().split("."), strict=True)) | changes).values())


def test_this_process_is_alive() -> None:
    assert is_alive(own_identity())


def test_threads_that_ask_at_once_are_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def take_long(pid: int) -> str | None:
        time.sleep(0.05)
        return started_at(pid)

    monkeypatch.setattr(process_identity, "started_at", take_long)
    own_identity.cache_clear()
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(own_identity) for _ in range(4)]
        assert {answer.result() for answer in asked} == {own_identity()}


def test_another_process_is_alive_until_it_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        start = started_at(other.pid)
        assert start is not None
        owner = identity(pid=str(other.pid), start=start, token="theirs")
        assert is_alive(owner)
        other.kill()
        other.wait()
        assert not is_alive(owner)


def test_a_zombie_is_dead() -> None:
    child = fork.Process(target=os.getpid)
    child.start()
    assert child.pid is not None
    # Not joined: it stays a zombie until the test looks.
    wait_until(lambda: started_at(child.pid or 0) is None, seconds=5)
    child.join()


def test_a_pid_used_again_is_not_its_former_owner() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert not is_alive(identity(pid=str(other.pid), start="12345", token="theirs"))
        other.kill()


def test_our_own_pid_used_again_or_kept_by_an_exec_is_not_us() -> None:
    assert not is_alive(identity(start="12345", token="theirs"))
    assert not is_alive(identity(token="before the exec"))


def test_nobody_survives_a_boot() -> None:
    assert not is_alive(identity(boot="another-boot", token="theirs"))


def test_what_cannot_be_judged_is_alive() -> None:
    assert is_alive(identity(namespace="1", pid="999999999", token="theirs"))
    assert is_alive("lost+found")


def test_a_forked_child_is_somebody_else() -> None:
    answers = fork.Queue()
    child = fork.Process(target=lambda: answers.put((own_identity(), os.getpid())))
    parent = own_identity()
    child.start()
    theirs, pid = answers.get(timeout=5)
    child.join()
    assert theirs != parent
    assert theirs.split(".")[2] == str(pid)


def test_ps_answers_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    by_ps = process_identity._started_by_ps
    mine = by_ps(os.getpid())
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert mine
    assert by_ps(os.getpid()) == mine
    assert "." not in mine
    assert by_ps(999999999) is None
