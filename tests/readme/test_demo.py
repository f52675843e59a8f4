"""README's first command in a fresh copy: started, watched, stopped, started again, killed."""

import email
import email.policy
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest

from tests.readme.checkout import clean_environment, copy_project, free_port, processes_in

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


class Demo:
    """`make demo` in a folder; each start has its own log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.smtp_port = free_port()
        self.log = ""
        self._make: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self.folder.parent / "demo.log"
        with log.open("wb") as output:
            self._make = subprocess.Popen(
                ["make", "demo"],
                cwd=self.folder,
                env=clean_environment(
                    PORT=str(self.port),
                    SMTP_PORT=str(self.smtp_port),
                    PYTHON=getattr(sys, "_base_executable", sys.executable),
                ),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def is_up() -> bool:
            self.log = log.read_text()
            assert self._make is not None
            assert self._make.poll() is None, self.log
            return "Mailroom is up" in self.log

        self.wait_for(is_up, seconds=240)

    def wait_for(self, condition: Callable[[], Any], *, seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, self.log
            time.sleep(0.3)
        return found

    def press_ctrl_c(self) -> None:
        assert self._make is not None
        os.killpg(self._make.pid, signal.SIGINT)
        self._make.wait(40)
        self.log = (self.folder.parent / "demo.log").read_text()

    def kill(self) -> None:
        """kill -9, each and every one."""
        while found := processes_in(self.folder):
            for line in found:
                try:
                    os.kill(int(line.split()[0]), signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if self._make is not None:
                self._make.wait()

    def ask(self, query: str) -> list[Any]:
        path = self.folder / "var" / "mailroom.sqlite3"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as database:
            return database.execute(query).fetchall()

    def finished_runs(self) -> list[Any]:
        return self.ask("SELECT id, total, sent FROM mailer_run WHERE state = 'finished'")

    def read_inbox(self) -> list[email.message.EmailMessage]:
        policy = email.policy.default
        return [
            email.message_from_bytes(path.read_bytes(), policy=policy)  # type: ignore[misc]
            for path in (self.folder / "var" / "inbox" / "new").iterdir()
        ]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    folder = tmp_path / "mailroom"
    copy_project(folder)
    demo = Demo(folder)
    yield demo
    demo.kill()


def test_make_demo(demo: Demo) -> None:
    demo.start()
    assert_it_opens(demo)
    demo.wait_for(demo.finished_runs, seconds=120)
    demo.press_ctrl_c()
    assert processes_in(demo.folder) == []
    assert "Traceback" not in demo.log
    assert_all_arrived(demo)
    before = counts(demo)

    demo.start()
    runs = len(demo.finished_runs())
    demo.wait_for(lambda: len(demo.finished_runs()) > runs, seconds=120)
    assert counts(demo) == before, "the second start keeps what is there"
    demo.kill()

    demo.start()
    assert_it_opens(demo)
    demo.press_ctrl_c()
    assert processes_in(demo.folder) == []


def assert_it_opens(demo: Demo) -> None:
    """The address and the login that are printed let somebody in."""
    address = re.search(r"Mailroom is up: (http://\S+)", demo.log)
    login = re.search(r"Log in as (\S+), password (\S+)", demo.log)
    assert address is not None
    assert login is not None
    cookies = CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    form = browser.open(address[1] + "login/?next=/admin/mailer/run/").read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
    assert token is not None
    fields = {"username": login[1], "password": login[2], "csrfmiddlewaretoken": token[1]}
    body = urllib.parse.urlencode(fields | {"next": "/admin/mailer/run/"}).encode()
    with browser.open(address[1] + "login/", data=body) as page:
        assert page.status == 200
        assert page.url == address[1] + "mailer/run/"


def assert_all_arrived(demo: Demo) -> None:
    """At rest: each recipient of each run has one message, and nobody else has any."""
    _run, total, sent = demo.finished_runs()[0]
    assert total == sent > 100
    states = dict(demo.ask("SELECT state, COUNT(*) FROM mailer_delivery GROUP BY state"))
    inbox = demo.read_inbox()
    assert states.get("uncertain", 0) == states.get("failed", 0) == 0
    assert len(inbox) == states["sent"]
    assert len({message["Message-ID"] for message in inbox}) == len(inbox)
    to = {message["X-RcptTo"] for message in inbox}
    assert any("@xn--" in address for address in to), "an internationalised domain"
    assert not to & {"has.left@example.net", "deleted.account@example.org"}
    done = demo.ask(
        "SELECT COUNT(*) FROM django_celery_results_taskresult JOIN mailer_batch USING (task_id)"
        " WHERE status = 'SUCCESS' AND state = 'done'"
    )
    assert done[0][0] >= 1, "each batch has its stored task result"


def counts(demo: Demo) -> list[Any]:
    tables = ("auth_user", "mailer_recipient", "mailer_mailing", "mailer_messageversion")
    return [demo.ask(f"SELECT COUNT(*) FROM {table}") for table in tables] + demo.ask(
        "SELECT password FROM auth_user"
    )
