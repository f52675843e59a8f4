"""/healthz and /readyz: green, red for each reason, and nothing told to the visitor."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery import Celery
from django.conf import settings
from django.db import OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client, override_settings

from site_config import health

pytestmark = [pytest.mark.database, pytest.mark.django_db]
READY = "database: ok\nmigrations: ok\nbroker: ok\n"


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test left hanging is not the next one's answer."""
    for name, check in health.CHECKS.items():
        monkeypatch.setitem(health.CHECKS, name, health.Check(check._question))


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def use_broker(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def use(url: str) -> None:
        celery = Celery(broker=url, set_as_current=False)
        if url.startswith("filesystem"):
            celery.conf.broker_transport = "site_config.filesystem_broker:Transport"
        monkeypatch.setattr(settings, "CELERY_BROKER_URL", url)
        monkeypatch.setattr(health, "app", celery)

    return use


def test_alive_needs_no_database(client: Client, django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"alive: ok\n")


def test_ready(client: Client) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.content.decode()) == (200, READY)
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert not answer.cookies


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_needs_neither_host_nor_https_and_is_never_cached(
    client: Client, path: str
) -> None:
    with override_settings(SECURE_SSL_REDIRECT=True, ALLOWED_HOSTS=["mail.example.org"]):
        answer = client.get(path, headers={"host": "10.1.2.3:8000"})
        assert client.get("/admin/", headers={"host": "10.1.2.3"}).status_code == 400
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert client.head(path).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_only_answers_questions(client: Client, method: str) -> None:
    answer = client.generic(method, "/readyz")
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")


@pytest.mark.django_db(transaction=True)
def test_a_migration_that_is_not_applied(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    last = sorted(name for app_label, name in health._last_migrations() if app_label == "mailer")
    MigrationRecorder(connection).record_unapplied("mailer", last[-1])
    try:
        answer = client.get("/readyz")
    finally:
        MigrationRecorder(connection).record_applied("mailer", last[-1])
    assert answer.status_code == 503
    assert answer.content.decode() == READY.replace("migrations: ok", "migrations: failed")
    assert f"not migrated to mailer.{last[-1]}" in caplog.text


@pytest.mark.parametrize("silent", [False, True], ids=["closed port", "silent server"])
@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_a_broker_that_does_not_answer(
    client: Client,
    use_broker: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    scheme: str,
    silent: bool,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if not silent:
            listener.close()
        use_broker(f"{scheme}://me:secret@127.0.0.1:{port}/0")
        began = time.monotonic()
        answer = client.get("/readyz")
        assert time.monotonic() - began < 6
    assert answer.status_code == 503
    assert answer.content.decode() == READY.replace("broker: ok", "broker: failed")
    assert "Not ready, broker" in caplog.text
    assert "secret" not in caplog.text


def test_a_folder_that_cannot_be_made(client: Client, use_broker: Callable[[str], None]) -> None:
    use_broker("filesystem:///proc/nowhere")
    assert client.get("/readyz").content.decode() == READY.replace("broker: ok", "broker: failed")


def test_a_database_that_is_away(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("no route to db.internal")

    monkeypatch.setattr(BaseDatabaseWrapper, "cursor", refuse)
    with caplog.at_level(logging.WARNING):
        answer = client.get("/readyz")
    monkeypatch.undo()
    assert answer.status_code == 503
    assert answer.content.decode() == "database: failed\nmigrations: failed\nbroker: ok\n"
    assert "no route to db.internal" in caplog.text


def test_a_database_that_takes_connections_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, silent_port: int
) -> None:
    silent = {
        **connections.settings["default"],
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": silent_port,
        "OPTIONS": {"connect_timeout": 60},
    }
    monkeypatch.setitem(connections.settings, "default", silent)
    monkeypatch.setattr(health, "ANSWER_SECONDS", 1)
    threads, began = threading.active_count(), time.monotonic()
    with ThreadPoolExecutor(20) as visitors:
        answers = list(visitors.map(lambda _: Client().get("/readyz"), range(60)))
        assert threading.active_count() <= threads + 20 + 2  # two checks need the database
        assert Client().get("/healthz").status_code == 200
    assert time.monotonic() - began < 20  # all of them together, on a machine that is busy
    assert {answer.status_code for answer in answers} == {503}
    assert b"database: failed" in answers[0].content
    assert "Not ready, database: no answer within 1 s" in caplog.text


def test_a_question_that_hangs_is_asked_again_once_it_has_ended(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.2)
    asked, answered = [], threading.Event()

    def hang() -> None:
        asked.append(True)
        assert answered.wait(30)

    check = health.Check(hang)
    monkeypatch.setitem(health.CHECKS, "database", check)
    for _ in range(3):
        assert b"database: failed" in client.get("/readyz").content
    assert len(asked) == 1
    answered.set()
    assert check._answer is not None
    check._answer.result(30)  # until its thread has ended, too
    monkeypatch.setattr(health, "ANSWER_SECONDS", 30)
    assert client.get("/readyz").content.decode() == READY
    assert client.get("/readyz").content.decode() == READY
    assert 2 <= len(asked) <= 3  # the first answer may have come to the first of these two
