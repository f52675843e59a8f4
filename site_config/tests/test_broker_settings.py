"""What BROKER_URL alone decides, for each kind of broker."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from .test_environment import COMPLETE, ROOT

ASK = """
import django; django.setup()
import json
from site_config.celery import app
conf = app.conf
print(json.dumps({
    "queues": {
        queue.name: [queue.exchange.type, queue.queue_arguments or {}]
        for queue in app.amqp.queues.values()
    },
    "routes": {name: app.amqp.router.route({}, name)["queue"].name
               for name in ("mailer.send_batch", "mailer.tick", "admin_ext.keep_house")},
    "options": conf.broker_transport_options,
    "transport": conf.broker_transport,
    "late": [conf.task_acks_late, conf.worker_prefetch_multiplier],
    "control": [conf.control_exchange, conf.event_exchange],
    "tries": conf.broker_connection_max_retries,
    "limit": conf.task_time_limit,
}))
"""


def read_settings(**changes: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, capture_output=True, text=True, check=True,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "site_config.settings.production",
            **COMPLETE,
            **changes,
        },
    )  # fmt: skip
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def test_rabbitmq_keeps_the_queues_on_disk_and_what_is_to_come_later_in_the_broker() -> None:
    read = read_settings(BROKER_URL="amqp://u:p@mq//")
    quorum = ["topic", {"x-queue-type": "quorum", "x-delivery-limit": 20}]
    assert read["queues"] == {"mail": quorum, "control": quorum}
    assert read["options"]["confirm_publish"] is True


def test_redis_hands_nothing_out_again_that_is_still_at_work() -> None:
    read = read_settings(
        BROKER_URL="redis://mq/0", MAILER_BATCH_SECONDS="4000", MAILER_SMTP_DOT_TIMEOUT="900"
    )
    assert read["options"]["visibility_timeout"] > 4000 + 900
    assert read["options"]["socket_connect_timeout"] < 10
    assert set(read["queues"]) == {"mail"}  # the control worker names its own


@pytest.mark.parametrize(("batch", "limit"), [("300", 3600), ("4000", 9800)])
def test_a_task_that_hangs_is_killed_and_none_that_waits_for_a_relay(
    batch: str, limit: int
) -> None:
    read = read_settings(MAILER_BATCH_SECONDS=batch, MAILER_SMTP_DOT_TIMEOUT="900")
    assert read["limit"] == limit


@pytest.mark.parametrize("broker", ["amqp://u:p@mq//", "redis://mq/0", "filesystem:///q"])
def test_what_holds_on_each(broker: str) -> None:
    read = read_settings(BROKER_URL=broker, QUEUE_PREFIX="news-")
    assert read["routes"] == {
        "mailer.send_batch": "news-mail",
        "mailer.tick": "news-control",
        "admin_ext.keep_house": "news-control",
    }
    assert read["control"] == ["news-celery", "news-celeryev"]
    assert read["late"] == [True, 1]
    assert read["tries"] is None  # a worker looks for its broker for ever
    assert (read["transport"] is not None) == broker.startswith("filesystem")
