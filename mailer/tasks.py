"""The Celery tasks: an id in, one service call. The only part of mailer that speaks Celery.

Every task may run twice, late or not at all; the database says what there is to do.
"""

from __future__ import annotations

import logging
import mmap
import threading
from datetime import datetime
from math import ceil
from typing import Any

from celery import Task, shared_task, signals
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string
from kombu.exceptions import OperationalError

from admin_ext.components.outcome import ActionRefused
from admin_ext.heartbeats import live_processes
from admin_ext.publishing import publish

from .models import TestMessage
from .services import bulk, content, planning, recovery, ringing, sending, testing

log = logging.getLogger(__name__)

# One byte shared by a worker's main process and its children: SIGTERM reaches the main process
# only, and a batch shall stop at its next message.
_stopping = mmap.mmap(-1, 1)
_ringing = threading.local()
_woken: set[datetime] = set()  # the last moment for which a ring was published


@signals.worker_shutting_down.connect
def _ask_to_stop(**_: Any) -> None:
    _stopping[0] = 1


@signals.worker_process_shutdown.connect
def _say_goodbye(**_: Any) -> None:
    content.close_connections()


@shared_task(name="mailer.tick", ignore_result=True)
def tick() -> None:
    recovery.tick(now=timezone.now())
    ring_after_commit()


@shared_task(name="mailer.ring", ignore_result=True)
def ring() -> None:
    ring_after_commit()


@shared_task(name="mailer.wake_mailing", ignore_result=True)
def wake_mailing(mailing_id: int) -> None:
    planning.decide_slot(mailing_id, now=timezone.now())
    ring_after_commit()


@shared_task(name="mailer.prepare_run")
def prepare_run(run_id: int) -> dict[str, int]:
    run = planning.prepare_run(run_id, now=timezone.now())
    ring_after_commit()
    return {"recipients": run.total} if run else {}


@shared_task(bind=True, name="mailer.send_batch")
def send_batch(self: Task[..., dict[str, int]], batch_id: int) -> dict[str, int]:
    outcomes = sending.send_batch(
        batch_id,
        task_id=self.request.id or "",
        worker=self.request.hostname or "",
        clock=timezone.now,
        stopping=lambda: _stopping[0] == 1,
        processes=live_processes(settings.CELERY_TASK_DEFAULT_QUEUE, timezone.now()),
    )
    ring_after_commit()
    return outcomes


@shared_task(name="mailer.go_on")
def go_on(action_id: int) -> dict[str, int]:
    done = bulk.work_off(
        action_id,
        find=import_string("mailer.admin.chosen.deliveries_of"),  # the admin knows its own lists
        clock=timezone.now,
        stopping=lambda: _stopping[0] == 1,
    )
    ring_after_commit()
    return {"deliveries": done}


@shared_task(bind=True, name="mailer.send_test", max_retries=3)
def send_test(self: Task[..., dict[str, str]], test_id: int) -> dict[str, str]:
    try:
        return testing.send_test_message(test_id)
    except testing.TryLaterError as error:
        raise self.retry(exc=error, countdown=settings.MAILER_TEST_RETRY_SECONDS) from None


def publish_test(test: TestMessage) -> None:
    """Have a requested test sent. Raises ActionRefused, and forgets it, if the broker is down.

    No tick would bring it later: whoever asked waits for it now.
    """
    try:
        publish(send_test.name, [test.pk], {}, task_id=test.task_id)
    except ActionRefused:
        test.delete()
        raise


def ring_after_commit() -> None:
    """Tell workers what there is to do, once the transaction around the caller has committed.

    A broker that is down costs nothing but time: the tick rings again.
    """
    transaction.on_commit(_ring, robust=True)


def _ring() -> None:
    if getattr(_ringing, "busy", False):
        # In eager mode a ring runs the task right here, and its own rings come back to this line.
        _ringing.again = True
        return
    _ringing.busy = True
    try:
        _ringing.again = True
        while _ringing.again:
            _ringing.again = False
            _ring_once()
    finally:
        _ringing.busy = False


def _ring_once() -> None:
    now = timezone.now()
    processes = live_processes(settings.CELERY_TASK_DEFAULT_QUEUE, now)
    bells = ringing.take_bells(now=now, processes=processes)
    tasks: dict[str, Task[..., Any]] = {"prepare": prepare_run, "send": send_batch, "act": go_on}
    for index, bell in enumerate(bells):
        try:
            tasks[bell.work].apply_async((bell.pk,), task_id=bell.task_id)
        except (OperationalError, OSError) as error:
            log.warning("the broker took no task (%s); the tick rings again", error)
            for unheard in bells[index:]:
                ringing.unring(unheard)
            return
    _ring_later(now)


def _ring_later(now: datetime) -> None:
    """Have somebody ring when a relay's pause or a limit ends between two ticks, once."""
    moment = ringing.next_opening(now=now)
    if moment is None or moment in _woken:
        return
    _woken.clear()
    _woken.add(moment)
    try:
        ring.apply_async(countdown=ceil((moment - now).total_seconds()))
    except (OperationalError, OSError) as error:
        log.warning("the broker took no task (%s); the tick rings again", error)
