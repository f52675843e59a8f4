"""The Celery application: tasks and the connections they share."""

import json
from types import SimpleNamespace

import pytest
from celery import current_app, signals
from celery.worker.control import Panel
from django.db import Error, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from site_config.celery import debug_task

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def test_the_debug_task_says_where_it_ran() -> None:
    assert debug_task.apply().get().startswith("ran on ")


def test_a_task_after_the_server_closed_the_connection_works() -> None:
    lost = _lose_connection(connection)
    signals.task_prerun.send(sender=debug_task, task_id="x", task=debug_task)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    assert lost == (connection.vendor == "postgresql")  # SQLite has no server to lose


@pytest.mark.parametrize("with_defaults", [False, True])
def test_a_worker_tells_no_password(
    monkeypatch: pytest.MonkeyPatch, *, with_defaults: bool
) -> None:
    current_app.loader.import_default_modules()
    monkeypatch.setattr(current_app.conf, "broker_url", "amqp://me:a-password@mq//")
    told = Panel.data["conf"](SimpleNamespace(app=current_app), with_defaults=with_defaults)
    assert told["task_acks_late"] is True
    assert "me:********@mq" in told["broker_url"]
    assert "a-password" not in json.dumps(told)
    assert not [name for name in told if name.isupper()]  # Django's settings


def _lose_connection(wrapper: BaseDatabaseWrapper) -> bool:
    wrapper.ensure_connection()
    if wrapper.vendor == "sqlite":
        return False
    wrapper.connection.close()
    with pytest.raises(Error):
        wrapper.cursor().execute("SELECT 1")
    return True
