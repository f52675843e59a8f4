"""Each service's own command and health check, as compose.yaml has them, on this machine's servers.

Instead of containers: a folder as the Dockerfile makes one, and an environment that holds only what
the container's would. Instead of the names of the network: the addresses of the servers here.
"""

import json
import re
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from scripts import make_env
from tests.run import ADDRESSES, drop_databases, on_postgres
from tests.system.brokers import RabbitMQ, find_absent
from tests.system.inbox import Inbox, free_port
from tests.system.processes import wait_until

from .arrangement import ROOT, read_services, read_values, seconds
from .image import bare_environment, list_files, make_image

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
RUNNING = ("web", "worker", "control", "beat", "flower")
SEED = """
import django; django.setup()
from mailer.tests.factories import make_mailing
print(make_mailing(recipients=20, name="Arranged"))
"""


@dataclass
class Arrangement:
    """The services of compose.yaml; `here` says what stands here in place of what stands there."""

    folder: Path
    logs: Path
    services: dict[str, Any]
    values: dict[str, str]
    here: dict[str, str]
    inbox: Inbox
    web: int = field(default_factory=free_port)
    flower: int = field(default_factory=free_port)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def environment(self, name: str) -> dict[str, str]:
        service = self.services[name]
        assert service["env_file"] == ".env"
        given = self.values | service["environment"]
        for variable in ("DATABASE_URL", "BROKER_URL", "RELAY_URL"):
            assert urlsplit(given[variable]).hostname in self.services, variable
        return bare_environment() | given | self.here | {"FLOWER_PORT": str(self.flower)}

    def translate(self, words: list[str]) -> list[str]:
        ports = {
            "0.0.0.0:8000": self.web,
            "127.0.0.1:8000": self.web,
            "127.0.0.1:5555": self.flower,
        }
        text = json.dumps(words)
        for there, port in ports.items():
            text = text.replace(there, f"127.0.0.1:{port}")
        translated: list[str] = json.loads(text)
        return translated

    def run(self, name: str, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Run in the service's place; what it said is for whoever asks."""
        return subprocess.run(
            self.translate(words), cwd=self.folder, env=self.environment(name),
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    def start(self, name: str) -> None:
        with (self.logs / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                self.translate(self.services[name]["command"]), cwd=self.folder,
                env=self.environment(name), stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def is_healthy(self, name: str) -> bool:
        assert self.running[name].poll() is None, f"{name} ended: {self.log(name)}"
        kind, *words = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        return self.run(name, words).returncode == 0

    def stop(self, name: str) -> int:
        process = self.running[name]
        process.terminate()
        code = process.wait(seconds(self.services[name].get("stop_grace_period", "10s")))
        del self.running[name]
        return code

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text()[-3000:]


@pytest.fixture
def arrangement(tmp_path: Path) -> Iterator[Arrangement]:
    if absent := find_absent("PostgreSQL", "RabbitMQ"):
        pytest.skip(absent)
    broker = RabbitMQ(ADDRESSES["RabbitMQ"])
    database = f"mailroom_compose_{secrets.token_hex(4)}"
    values = read_values(make_env.fill_in((ROOT / ".env.example").read_text(encoding="utf-8")))
    values["QUEUE_PREFIX"] = broker.prefix
    folder, scratch = tmp_path / "image", tmp_path / "scratch"
    folder.mkdir(), scratch.mkdir()
    make_image(folder)
    create_database(database)
    with Inbox() as inbox:
        arrangement = Arrangement(
            folder=folder,
            logs=tmp_path,
            services=read_services(values),
            values=values,
            inbox=inbox,
            here={
                "DATABASE_URL": on_postgres(database),
                "BROKER_URL": ADDRESSES["RabbitMQ"],
                "RELAY_URL": inbox.url,
                "FLOWER_ADDRESS": "127.0.0.1",
                "FLOWER_DB": str(scratch / "flower.db"),
                "TMPDIR": str(scratch),
                "HOME": str(scratch),
                "ADMIN_EXT_HEARTBEAT_SECONDS": "1",
            },
        )
        yield arrangement
        for process in arrangement.running.values():
            process.terminate()
        for process in arrangement.running.values():
            process.wait(60)
    broker.close()
    drop_databases(database)


def create_database(name: str) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(ADDRESSES["PostgreSQL"], autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def get(arrangement: Arrangement, path: str) -> tuple[int, str]:
    """By a name of ALLOWED_HOSTS, as a browser on this machine would."""
    with urllib.request.urlopen(f"http://localhost:{arrangement.web}{path}", timeout=30) as answer:
        return answer.status, answer.read().decode()


def test_every_service_gets_healthy_and_the_mail_arrives(arrangement: Arrangement) -> None:
    image = list_files(arrangement.folder)
    arrangement.start("web")
    wait_until(
        lambda: "alive: ok" in probe(arrangement, "/healthz"), what="the site answers", seconds=90
    )
    assert probe(arrangement, "/readyz").startswith("503 database: ok\nmigrations: failed")
    assert not arrangement.is_healthy("web")

    done = arrangement.run("migrate", arrangement.services["migrate"]["command"])
    assert done.returncode == 0, done.stderr
    for name in RUNNING[1:]:
        arrangement.start(name)
    for name in RUNNING:
        wait_until(lambda name=name: arrangement.is_healthy(name), what=name, seconds=90)

    status, page = get(arrangement, "/admin/login/")
    assert status == 200
    (style,) = re.findall(r'href="(/static/admin/css/base\.[0-9a-f]{12}\.css)"', page)
    assert get(arrangement, style)[0] == 200

    seed = subprocess.run(
        [sys.executable, "-c", SEED], cwd=ROOT, env=arrangement.environment("worker"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert seed.stdout.strip() == "Arranged", seed.stderr
    sent = arrangement.run("web", ["python", "manage.py", "start_mailing", "Arranged", "--wait"])
    assert sent.returncode == 0, f"{sent.stderr} {arrangement.log('worker')}"
    inbox = arrangement.inbox
    assert len(set(inbox.addresses)) == len(inbox.addresses) == 20

    # Nothing is written where a container may not write.
    assert list_files(arrangement.folder) == image
    ended = {name: arrangement.stop(name) for name in reversed(RUNNING)}
    assert ended == dict.fromkeys(RUNNING, 0)


def probe(arrangement: Arrangement, path: str) -> str:
    words = ["python", "scripts/probe.py", f"http://127.0.0.1:8000{path}"]
    return arrangement.run("web", words).stdout
