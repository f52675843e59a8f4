"""compose.yaml and .env.example: nothing unset, unpinned, unwatched or open to the world."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts import make_env
from site_config.settings.celery import CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT

from .arrangement import (
    APPLICATION,
    ROOT,
    UnresolvedError,
    merge,
    read_raw,
    read_services,
    read_values,
    resolve,
    seconds,
)

EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
VALUES = read_values(make_env.fill_in(EXAMPLE))
FILES = [("compose.yaml",), ("compose.yaml", "compose.redis.yaml")]
# Read by the site's settings, and by nothing else in these files.
PRODUCTION = {
    "SECRET_KEY", "ADDRESS_KEY", "CREDENTIAL_KEYS", "ALLOWED_HOSTS", "BASE_URL", "RELAY_URL",
    "MAIL_DOMAIN",
}  # fmt: skip


@pytest.fixture(params=FILES, ids=["RabbitMQ", "Redis"])
def services(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read_services(VALUES, *request.param)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("${A}b $A", "1b 1"),
        ("${EMPTY}x", "x"),
        ("${EMPTY:-d} ${EMPTY-d}", "d "),
        ("${NONE:-d}", "d"),
        ("$$A", "$A"),
    ],
)
def test_variables_are_read_as_compose_reads_them(text: str, meant: str) -> None:
    assert resolve({"k": [text]}, {"A": "1", "EMPTY": ""}) == {"k": [meant]}


@pytest.mark.parametrize("text", ["${NONE}", "$NONE", "${EMPTY:?make it}", "${NONE?make it}", "$ "])
def test_what_cannot_be_filled_in_is_an_error(text: str) -> None:
    with pytest.raises(UnresolvedError):
        resolve(text, {"EMPTY": ""})


def test_files_merge() -> None:
    base = {"a": {"command": ["x", "y"], "volumes": ["v"], "image": "i"}}
    over = {"a": {"command": ["z"], "volumes": ["w"]}, "b": 1}
    assert merge(base, over) == {
        "a": {"command": ["z"], "volumes": ["v", "w"], "image": "i"},
        "b": 1,
    }


@pytest.mark.parametrize("files", FILES, ids=["RabbitMQ", "Redis"])
def test_the_example_alone_starts_nothing_and_says_what_to_do(files: tuple[str, ...]) -> None:
    with pytest.raises(UnresolvedError, match=r"python3 scripts/make_env\.py"):
        read_services(read_values(EXAMPLE), *files)


def test_every_secret_is_empty_in_the_example_and_fresh_each_time() -> None:
    again = read_values(make_env.fill_in(EXAMPLE))
    for name in make_env.SECRETS:
        assert read_values(EXAMPLE)[name] == ""
        assert VALUES[name] != again[name]
        assert len(VALUES[name]) >= 32
    assert VALUES.keys() >= PRODUCTION


def test_env_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_env, "ROOT", tmp_path)
    (tmp_path / ".env.example").write_text(EXAMPLE)
    assert make_env.main() == 0
    made = (tmp_path / ".env").read_text()
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert make_env.main() == 1
    assert (tmp_path / ".env").read_text() == made
    assert VALUES["SECRET_KEY"] not in capsys.readouterr().out


def test_images_are_pinned(services: dict[str, Any]) -> None:
    for name, service in services.items():
        tag = service["image"].partition(":")[2]
        assert re.search(r"\d+\.\d+\.\d+|\d+\.\d+-", tag), f"{name}: {service['image']}"


def test_every_service_is_watched(services: dict[str, Any]) -> None:
    for name, service in services.items():
        check = service["healthcheck"]
        if name == "migrate":
            assert check == {"disable": True}  # it ends; the others wait for its success
            continue
        assert check["test"][0] in {"CMD", "CMD-SHELL"}, name
        assert seconds(check["timeout"]) <= seconds(check["interval"]), name
        assert check["retries"], name
        assert check["start_period"], name
    waited_for = {on: how["condition"] for s in services.values()
                  for on, how in s.get("depends_on", {}).items()}  # fmt: skip
    assert waited_for == {
        "migrate": "service_completed_successfully",
        "postgres": "service_healthy",
        "broker": "service_healthy",
    }


@pytest.mark.parametrize("name", [*APPLICATION, "mailpit"])
def test_what_runs_may_do_little(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    # Without `user` it is the image's: see test_image.py.
    assert service.get("user", "") in ({"65534:65534"} if name == "mailpit" else {""})


def test_ports_are_this_machines_own(services: dict[str, Any]) -> None:
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_volumes_are_declared() -> None:
    raw = read_raw(*FILES[1])
    used = {v.partition(":")[0] for s in raw["services"].values() for v in s.get("volumes", [])}
    assert used == raw["volumes"].keys()


def test_a_worker_gets_the_time_it_takes_to_stop(services: dict[str, Any]) -> None:
    for name in ("worker", "control"):
        assert seconds(services[name]["stop_grace_period"]) > CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT


def test_the_prefix_reaches_queues_and_checks() -> None:
    services = read_services(VALUES | {"QUEUE_PREFIX": "news-"})
    for name, queue in (("worker", "news-mail"), ("control", "news-control")):
        assert queue in services[name]["command"]
        assert queue in services[name]["healthcheck"]["test"]


def test_redis_is_one_change() -> None:
    assert "\n#COMPOSE_FILE=compose.yaml:compose.redis.yaml\n" in EXAMPLE
    services = read_services(VALUES, *FILES[1])
    for name in APPLICATION:
        assert services[name]["environment"]["BROKER_URL"].startswith("redis://:")
        assert services[name]["environment"]["DATABASE_URL"].endswith("@postgres:5432/mailroom")
    assert services["broker"]["image"].startswith("redis:")
    assert services["broker"]["command"][0] == "redis-server"
    assert services["broker"]["ports"] == []


def test_docker_compose_agrees(tmp_path: Path) -> None:
    """Where docker compose is installed; it needs no engine to read its files."""
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], check=False).returncode:
        return  # not a skip: what it would say is said by the tests above
    for name in ("compose.yaml", "compose.redis.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".env").write_text(make_env.fill_in(EXAMPLE))
    for files in FILES:
        named = [word for file in files for word in ("-f", file)]
        subprocess.run([docker, "compose", *named, "config", "-q"], cwd=tmp_path, check=True)
