"""The Celery application of the tests, and tasks that do what a test asks of them."""

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery, Task
from celery.exceptions import Ignore, Reject

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "admin_ext.tests.settings")

app = Celery("admin_ext_tests", set_as_current=False)
# Its own configuration, whichever settings the tests run under.
app.config_from_object("admin_ext.tests.settings", namespace="CELERY")


@app.task(name="tests.work")
def work(number: int, *, words: str = "") -> int:
    return number


@app.task(name="tests.fail", bind=True, max_retries=0)
def fail(self: Task, words: str = "broken") -> None:
    raise ValueError(words)


@app.task(name="tests.retry_twice", bind=True, max_retries=2)
def retry_twice(self: Task) -> int:
    if self.request.retries < 2:
        raise self.retry(exc=OSError("not yet"), countdown=0)
    return int(self.request.retries)


@app.task(name="tests.quiet", ignore_result=True)
def quiet() -> None:
    """Like a tick: nothing is recorded."""


@app.task(name="tests.ignored")
def ignored() -> None:
    raise Ignore


@app.task(name="tests.rejected", acks_late=True)
def rejected() -> None:
    raise Reject("no", requeue=False)


@app.task(name="tests.die")
def die() -> None:
    os.kill(os.getpid(), 9)


@app.task(name="tests.wait")
def wait(seconds: float) -> None:
    time.sleep(seconds)


@app.task(name="tests.slow", time_limit=1)
def slow() -> None:
    time.sleep(30)


@app.task(name="tests.note", ignore_result=True)
def note(path: str, line: Any = "") -> None:
    with Path(path).open("a") as file:
        file.write(f"{line}\n")
