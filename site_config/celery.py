"""The Celery application: `celery -A site_config worker|beat|call|…`."""

from __future__ import annotations

import gc
import os
from typing import Any

import django
from celery import Celery, Task, signals
from django.apps import apps
from django.conf import settings
from django.db import connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_config.settings.local")


class Mailroom(Celery):
    """Celery, which sets Django up before it asks for the result backend.

    The backend is made of Django's models. A worker and beat import the tasks first, and that sets
    Django up; `celery call` and `celery result` know a task by its name alone and import nothing.
    """

    def _get_backend(self) -> Any:
        if not apps.models_ready:
            django.setup()
        return super()._get_backend()  # type: ignore[misc]


app = Mailroom("mailroom")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.celeryd_after_setup.connect
def declare_queues(**_: Any) -> None:
    """Of a RabbitMQ's queues a worker declares its own, and binds all for what is to come later:
    the first worker of a new site would miss the others', and call it CRITICAL."""
    if not settings.CELERY_BROKER_URL.startswith("amqp"):
        return
    with app.connection_for_write() as broker:
        try:
            channel = broker.channel()
            for queue in app.amqp.queues.values():
                queue(channel).declare()
        except (*broker.connection_errors, *broker.channel_errors):
            return  # the worker tries for itself in a moment, for ever, and says so


@signals.task_prerun.connect
def drop_dead_connections(task: Task[..., Any], **_: Any) -> None:
    """Connections live on from task to task (CELERY_DB_REUSE_MAX), and Django replaces none that
    the server has closed: without this a worker would fail every task after a restart of it."""
    if task.request.is_eager:
        return  # the connection is somebody else's, perhaps in the middle of a query
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


@signals.worker_process_init.connect
def keep_what_was_loaded(**_: Any) -> None:
    """What is there when a process begins stays there: the garbage collector need not look at it
    again and again (gc.freeze)."""
    gc.freeze()


@app.task(bind=True, name="site_config.debug_task")
def debug_task(self: Task[..., str]) -> str:
    """Says which worker ran it: `celery -A site_config call site_config.debug_task`."""
    return f"ran on {self.request.hostname}"
