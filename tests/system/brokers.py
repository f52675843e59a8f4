"""The broker a test runs on: files, or a server of this machine with names of the test's own.

TEST_BROKER_URL chooses (amqp://… or redis://…/15); without it, a folder. On a server only what
bears the test's prefix, or lies in the test's Redis database, is touched; nothing of it is left.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import amqp
import redis

from tests.rabbitmq import connect
from tests.run import find_missing

QUEUES = ("mail", "control")
EXCHANGES = ("{}mail", "{}control", "{}celeryev", "{}celery.pidbox", "reply.{}celery.pidbox")
NEIGHBOUR = "other-"  # after a test's prefix: another site on the same server


class Broker(Protocol):
    """What a test asks of a broker; `prefix` goes before the names of the queues."""

    url: str
    prefix: str

    def length(self, queue: str) -> int:
        """How many messages wait there, those in a worker's hands not counted."""

    def empty(self) -> None:
        """Lose every message that waits."""

    def close(self) -> None:
        """Leave nothing behind."""


def open_broker(folder: Path) -> Broker:
    url = os.environ.get("TEST_BROKER_URL", "")
    kind = {"": Files, "amqp": RabbitMQ, "redis": Redis}[urlsplit(url).scheme]
    return kind(url or f"filesystem://{folder / 'broker'}")


def find_absent(*names: str) -> str:
    """Which of the servers do not answer, as the reason of a skip; "" when all do."""
    missing = find_missing()
    return "; ".join(f"{name} ({missing[name]})" for name in names if name in missing)


class Files:
    """The embedded broker: a folder."""

    def __init__(self, url: str) -> None:
        self.url, self.prefix = url, ""
        self._folder = Path(urlsplit(url).path)

    def length(self, queue: str) -> int:
        return sum(path.parent.name == queue for path in self._messages())

    def empty(self) -> None:
        for path in self._messages():
            path.unlink(missing_ok=True)

    def _messages(self) -> Iterator[Path]:
        return (p for p in self._folder.rglob("*") if p.is_file() and "bindings" not in p.parts)

    def close(self) -> None:
        pass


class RabbitMQ:
    """Queues and exchanges of one test on a server that others may use as well."""

    def __init__(self, url: str) -> None:
        self.url, self.prefix = url, f"test-{secrets.token_hex(4)}-"

    def length(self, queue: str) -> int:
        with self._connect() as connection:
            try:
                declared = connection.channel().queue_declare(self.prefix + queue, passive=True)
            except amqp.NotFound:
                return 0
            return int(declared.message_count)

    def empty(self) -> None:
        with self._connect() as connection:
            for queue in QUEUES:
                try:
                    connection.channel().queue_purge(self.prefix + queue)
                except amqp.NotFound:
                    continue

    def close(self) -> None:
        with self._connect() as connection:
            channel = connection.channel()
            for prefix in (self.prefix, self.prefix + NEIGHBOUR):
                for queue in QUEUES:
                    channel.queue_delete(prefix + queue)
                for exchange in EXCHANGES:
                    channel.exchange_delete(exchange.format(prefix))

    def _connect(self) -> amqp.Connection:
        return connect(self.url)


class Redis:
    """A database of a Redis server, flushed before and after; tests side by side have one each."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        beside = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
        self.url = parts._replace(path=f"/{int(parts.path[1:]) - beside}").geturl()
        self.prefix = ""
        self._server = redis.Redis.from_url(self.url)
        self._server.flushdb()

    def length(self, queue: str) -> int:
        return int(self._server.llen(queue))

    def empty(self) -> None:
        self._server.flushdb()

    def close(self) -> None:
        self._server.flushdb()
        self._server.close()
