"""A small Celery application on the embedded broker, for the workers that the tests start."""

import os
import time
from pathlib import Path

from celery import Celery, Task

FOLDER = Path(os.environ.get("BROKER_TEST_FOLDER", "var/broker-test"))

app = Celery("broker_test", fixups=set(), set_as_current=False)
app.conf.update(
    broker_url=f"filesystem://{FOLDER}/broker",
    broker_transport="site_config.filesystem_broker:Transport",
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
)


@app.task(bind=True, name="broker_test.log_run")
def log_run(self: Task, number: int, seconds: float = 0.0) -> None:
    """Log the start, work for a while, log the end: what a kill cuts short has no end."""
    again = bool((self.request.delivery_info or {}).get("redelivered"))
    with (FOLDER / "runs").open("a") as runs:
        runs.write(f"start {number} {again:d} {time.time()} {self.request.hostname}\n")
        runs.flush()
        time.sleep(seconds)
        runs.write(f"end {number} {again:d} {time.time()} {self.request.hostname}\n")
