"""A missing or malformed value stops the start and names itself; nothing shows a secret."""

import os
import subprocess
import sys
from collections.abc import Callable
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


SETTINGS = "import site_config.settings.production as settings"


def start(code: str = SETTINGS, **changes: str | None) -> subprocess.CompletedProcess[str]:
    values = {k: v for k, v in {**COMPLETE, **changes}.items() if v is not None}
    return subprocess.run(
        [sys.executable, "-c", code],
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
        ("SECRET_KEY", ""),
        ("ADDRESS_KEY", "too short"),
        ("CREDENTIAL_KEYS", 44 * "!"),
        ("ALLOWED_HOSTS", ""),
        ("BASE_URL", "https://mail.example.org/path"),
        ("RELAY_URL", "http://relay.example.org"),
        ("MAIL_DOMAIN", "bad domain"),
        ("DATABASE_URL", "mysql://u:p@db/mailroom"),
        ("BROKER_URL", "redis://mq:abc/0"),
        ("TIME_ZONE", "Taipei"),
        ("LOG_LEVEL", "LOUD"),
        ("MAILER_LEASE_SECONDS", "0"),
        ("MAILER_WINDOW_SIZE", "many"),
        ("MAILER_WINDOW_SIZE", "1001"),
        ("MAILER_SIGNER", "sign"),
        ("MAILER_SIGNER", "no_such_package.sign"),
        ("MAILER_SIGNER", "email.message.nothing"),
        ("MAILER_SIGNER", "email.charset.QP"),
        ("ANYMAIL", '{"KEY": "u:p"'),
        ("ANYMAIL", '["u:p"]'),
        ("EMAIL_URL", "https://u:p@relay.example.org"),
        ("CELERY_TASK_ALWAYS_EAGER", "perhaps"),
    ],
)
def test_a_malformed_value_stops_the_start_and_is_named(name: str, value: str) -> None:
    done = start(**{name: value})
    assert done.returncode != 0
    assert name in done.stderr.splitlines()[-1]
    assert "ImproperlyConfigured" in done.stderr.splitlines()[-1]
    assert "u:p" not in done.stderr
    assert "PASSWORD" not in done.stderr


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (environment.read_key, "QUFB"),
        (environment.read_fernet_keys, ""),
        (environment.read_fernet_keys, "one,two"),
        (environment.read_fernet_keys, f"{KEY},{KEY[:-1]}"),
        (environment.read_hosts, " , "),
        (environment.read_hosts, "mail.example.org,https://www.example.org"),
        (environment.read_hosts, "mail.example.org:8000"),
        (environment.read_domain, ""),
        (environment.read_domain, "mail..example.org"),
        (environment.read_domain, "mail.example.org\n"),
        (environment.read_base_url, ""),
        (environment.read_base_url, "mail.example.org"),
        (environment.read_base_url, "https://mail.example.org?x=1"),
        (environment.read_base_url, "https://mail.example.org:many"),
        (environment.read_base_url, "https://me@mail.example.org"),
        (environment.read_base_url, "https://[mail.example.org"),
        (environment.read_relay_url, "smtp://relay.example.org:many"),
        (environment.read_relay_url, "smtp://[relay.example.org"),
        (environment.read_database_url, "nonsense"),
        (environment.read_database_url, ""),
        (environment.read_database_url, "postgres://u:p@db:many/mailroom"),
        (environment.read_database_url, "postgres://u:p@db/"),
        (environment.read_broker_url, ""),
        (environment.read_broker_url, "sqs://"),
        (environment.read_broker_url, "amqp://"),
        (environment.read_broker_url, "redis://mq/zero"),
        (environment.read_broker_url, "filesystem://folder"),
    ],
)
def test_what_else_is_malformed(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[str], object], value: str
) -> None:
    monkeypatch.setenv("A_NAME", value)
    with pytest.raises(ImproperlyConfigured, match=r"^A_NAME "):
        read("A_NAME")


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (environment.read_hosts, "mail.example.org, .example.org,127.0.0.1,[::1],app_web"),
        (environment.read_hosts, "*"),
        (environment.read_base_url, "http://[::1]:8000/"),
        (environment.read_domain, "localhost"),
        (environment.read_broker_url, "rediss://:p%40ss@mq:6380"),
        (environment.read_broker_url, "amqps://u:p@mq:5671/news"),
        (environment.read_broker_url, "filesystem:///srv/mail room"),
    ],
)
def test_what_is_unusual_and_right(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[str], object], value: str
) -> None:
    monkeypatch.setenv("A_NAME", value)
    assert read("A_NAME")


def test_other_services_are_told_from_the_environment() -> None:
    names = ("MAILER_BACKENDS", "ANYMAIL", "EMAIL_HOST", "EMAIL_PORT", "EMAIL_HOST_USER",
             "EMAIL_HOST_PASSWORD", "EMAIL_USE_TLS", "EMAIL_USE_SSL", "EMAIL_TIMEOUT")  # fmt: skip
    show = f"{SETTINGS}; print([getattr(settings, name) for name in {names}])"
    without = start(show).stdout
    assert without == "[[], {}, 'localhost', 25, '', '', False, False, 600]\n"
    told = start(
        show,
        MAILER_BACKENDS="a.b.EmailBackend, c.d.EmailBackend,",
        ANYMAIL='{"KEY": "k", "TIMES": 2}',
        EMAIL_URL="smtps://u:p%40ss@relay.example.org",
        MAILER_SMTP_DOT_TIMEOUT="90",
    ).stdout
    assert told == (
        "[['a.b.EmailBackend', 'c.d.EmailBackend'], {'KEY': 'k', 'TIMES': 2},"
        " 'relay.example.org', 465, 'u', 'p@ss', False, True, 90.0]\n"
    )


def test_a_level_in_small_letters_will_do() -> None:
    assert start(LOG_LEVEL="debug").returncode == 0


def test_a_silent_database_is_given_up_and_its_address_may_say_when() -> None:
    show = f"{SETTINGS}; print(settings.DATABASES['default']['OPTIONS'])"
    assert "'connect_timeout': 5," in start(show).stdout
    own = start(show, DATABASE_URL="postgres://u:p@db/mailroom?connect_timeout=9&sslmode=require")
    assert "'connect_timeout': 9," in own.stdout
    assert "'sslmode': 'require'" in own.stdout


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
