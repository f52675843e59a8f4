"""Flower beside a real worker: the login, the tasks, and what it remembers."""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from .brokers import NEIGHBOUR
from .inbox import free_port
from .processes import ROOT, Site, wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]
LOGIN = "staff:a-secret"


@pytest.fixture(autouse=True)
def flower_settings(site: Site) -> None:
    site.environment |= {
        "FLOWER_PORT": str(free_port()),
        "FLOWER_BASIC_AUTH": LOGIN,
        "FLOWER_DB": str(site.folder / "flower.db"),
        "FLOWER_STATE_SAVE_INTERVAL": "500",
    }


def ask(site: Site, path: str, *, login: str = "") -> tuple[int, bytes]:
    """(status, body); (0, nothing) when nobody answers."""
    request = urllib.request.Request(f"http://127.0.0.1:{site.environment['FLOWER_PORT']}{path}")
    if login:
        encoded = base64.b64encode(login.encode()).decode()
        request.add_header("Authorization", f"Basic {encoded}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read()
    except OSError:
        return 0, b""


def read(site: Site, path: str) -> Any:
    status, body = ask(site, path, login=LOGIN)
    return json.loads(body) if status == 200 else {}


def start_flower(site: Site) -> subprocess.Popen[bytes]:
    flower = site.start_flower()
    wait_until(lambda: ask(site, "/healthcheck")[0] == 200, what="Flower answers", seconds=90)
    return flower


def run_task(site: Site) -> str:
    return site.celery("call", "site_config.debug_task").strip()


def shows(site: Site, task: str) -> bool:
    found = read(site, "/api/tasks").get(task, {})
    return (found.get("name"), found.get("state")) == ("site_config.debug_task", "SUCCESS")


def test_it_asks_for_the_login_and_shows_this_site_alone(site: Site) -> None:
    start_flower(site)
    for path in ("/", "/tasks", "/workers", "/api/tasks", "/api/workers"):
        assert ask(site, path)[0] == 401, path
        assert ask(site, path, login="staff:guessed")[0] == 401, path
    assert ask(site, "/tasks", login=LOGIN)[0] == 200

    site.start_worker(processes=1)
    task = run_task(site)
    wait_until(lambda: shows(site, task), what=f"Flower shows {task}", seconds=90)
    workers = read(site, "/api/workers?refresh=1")
    assert [name.partition("@")[0] for name in workers] == ["mail1"]

    told = json.dumps(read(site, "/api/workers?refresh=1"))
    assert "task_acks_late" in told
    for secret in ("guest:guest", "only-for-tests", "SECRET_KEY", "DATABASE_URL"):
        assert secret not in told, secret

    site.environment["QUEUE_PREFIX"] += NEIGHBOUR
    with pytest.raises(AssertionError, match="No nodes replied"):
        site.celery("inspect", "ping")


@pytest.mark.embedded
def test_it_remembers_after_a_kill_and_after_a_stop(site: Site) -> None:
    flower = start_flower(site)
    site.start_worker(processes=1)
    task = run_task(site)
    wait_until(lambda: shows(site, task), what=f"Flower shows {task}", seconds=90)
    saved_at = time.time() + 1
    wait_until(
        lambda: any(
            path.stat().st_mtime > saved_at
            for path in site.folder.glob("flower.db*")
            if ".tmp" not in path.name  # it is renamed in a moment
        ),
        what="Flower saved what it has seen",
    )
    site.kill(flower)
    flower = start_flower(site)
    assert shows(site, task)
    site.stop(flower)
    assert flower.returncode == 0
    start_flower(site)
    assert shows(site, task)


@pytest.mark.embedded
def test_without_a_login_it_does_not_start(tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if name != "FLOWER_BASIC_AUTH"},
        "DJANGO_SETTINGS_MODULE": "site_config.settings.test",
        "MAILROOM_VAR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "site_config.flower"], cwd=ROOT, env=environment,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("Flower is not started without a login: set FLOWER_BASIC_AUTH")
    assert len(done.stderr.splitlines()) == 1
