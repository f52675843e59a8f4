"""Puts a message on the broker: once more what an attempt was, now what a schedule says."""

from typing import Any

from celery import current_app
from celery.exceptions import CeleryError
from django.utils.translation import gettext as _
from kombu.exceptions import KombuError

from .components.outcome import ActionRefused
from .models import TaskAttempt

RETRY_HEADER = "retry_of"


def send_again(attempt: TaskAttempt, by: Any) -> str:
    """Send the same name, arguments and queue as a new task; its id. Raises ActionRefused."""
    called_with = attempt.arguments()
    if called_with is None:
        raise ActionRefused(_("Its arguments could not be kept, so it cannot be run again."))
    args, kwargs = called_with
    options = {"queue": attempt.queue} if attempt.queue else {}
    return publish(attempt.name, args, kwargs, headers={RETRY_HEADER: attempt.task_id}, **options)


def publish(name: str, args: Any, kwargs: Any, **options: Any) -> str:
    """Send a task by name and give its id. Raises ActionRefused when the broker does not take it.

    A task of this process goes through its own apply_async, which knows its defaults and eager
    mode; any other goes by name, as beat does it.
    """
    current_app.loader.import_default_modules()
    task = current_app.tasks.get(name)
    try:
        if task is not None:
            return str(task.apply_async(args, kwargs, **options).id)
        return str(current_app.send_task(name, args, kwargs, **options).id)
    except (CeleryError, KombuError, OSError) as error:
        raise ActionRefused(
            _("The broker did not take it (%(error)s). Nothing was sent; try again later.")
            % {"error": error}
        ) from error
