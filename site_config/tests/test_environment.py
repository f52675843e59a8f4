"""A missing or malformed value stops the start and names itself; nothing shows a secret."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from site_config.local_environment import load_local_environment
from site_config.settings import environment

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
COMPLETE = {
    "SECRET_KEY": "s" * 60,
    "ADDRESS_KEY": KEY,
    "CREDENTIAL_KEYS": KEY,
    "ALLOWED_HOSTS": "mail.example.org",
    "BASE_URL": "https://mail.example.org",
    "RELAY_URL": "smtp+starttls://user:p%40ss@relay.example.org",
    "MAIL_DOMAIN": "mail.example.org",
    "DATABASE_URL": "postgres://u:p@db/mailroom",
    "BROKER_URL": "amqp://u:p@mq//",
}


def start(**changes: str | None) -> subprocess.CompletedProcess[str]:
    values = {k: v for k, v in {**COMPLETE, **changes}.items() if v is not None}
    return subprocess.run(
        [sys.executable, "-c", "import site_config.settings.production"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **values},
        capture_output=True,
        text=True,
        check=False,
    )


def test_complete_values_start() -> None:
    assert start().returncode == 0


@pytest.mark.parametrize("name", COMPLETE)
def test_a_missing_value_stops_the_start_and_is_named(name: str) -> None:
    done = start(**{name: None})
    assert done.returncode != 0
    assert name in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ADDRESS_KEY", "too short"),
        ("ADDRESS_KEY", "QUFB"),
        ("CREDENTIAL_KEYS", "one,two"),
        ("BASE_URL", "mail.example.org"),
        ("RELAY_URL", "http://relay.example.org"),
        ("RELAY_URL", "smtp://relay.example.org:many"),
        ("DATABASE_URL", "mysql://u:p@db/mailroom"),
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", ""),
        ("BROKER_URL", "sqs://"),
        ("TIME_ZONE", "Taipei"),
        ("MAILER_LEASE_SECONDS", "0"),
        ("MAILER_WINDOW_SIZE", "many"),
        ("CELERY_TASK_ALWAYS_EAGER", "perhaps"),
    ],
)
def test_a_malformed_value_stops_the_start_and_is_named(name: str, value: str) -> None:
    done = start(**{name: value})
    assert done.returncode != 0
    assert name in done.stderr.splitlines()[-1]


def test_a_relay_url_is_read_with_its_password_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_URL", "smtp+starttls://user:p%40ss@relay.example.org")
    relay = environment.read_relay_url("RELAY_URL")
    assert (relay.host, relay.port, relay.security) == ("relay.example.org", 587, "starttls")
    assert relay.password == "p@ss"
    assert "p@ss" not in repr(relay)


def test_a_base_url_loses_its_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE_URL", "https://mail.example.org/")
    assert environment.read_base_url("BASE_URL") == "https://mail.example.org"
    monkeypatch.setenv("BASE_URL", "https://mail.example.org/?x=1")
    with pytest.raises(ImproperlyConfigured):
        environment.read_base_url("BASE_URL")


def test_local_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    first: dict[str, str] = {"PORT": "9000"}
    load_local_environment(first, root=tmp_path)
    made = (tmp_path / "var" / "local.env").read_text()
    second: dict[str, str] = {}
    load_local_environment(second, root=tmp_path)
    assert (tmp_path / "var" / "local.env").read_text() == made
    assert (tmp_path / "var" / "local.env").stat().st_mode & 0o077 == 0
    assert first["BASE_URL"] == "http://127.0.0.1:9000"
    assert first["SECRET_KEY"] == second["SECRET_KEY"] in made


@pytest.mark.parametrize("prefix", ["news.", "a b", "#", "é-"])
def test_a_prefix_that_could_reach_another_sites_queues_is_refused(prefix: str) -> None:
    assert "QUEUE_PREFIX may hold letters" in start(QUEUE_PREFIX=prefix).stderr
