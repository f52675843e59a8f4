"""The embedded broker: kombu messages as files in a folder of one machine (a local disk, not NFS).

What kombu sees. The folder is spool.py's; who holds a message is process_identity.py's.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from typing import Any
from urllib.parse import unquote

from kombu.transport import virtual
from kombu.transport.base import to_rabbitmq_queue_arguments  # type: ignore[attr-defined]
from kombu.utils.json import dumps, loads
from kombu.utils.scheduling import FairCycle

from site_config.process_identity import own_identity
from site_config.spool import Binding, Spool, file_name

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0  # how late a dead process's messages come back
LOOK_AHEAD = 64  # names kept of one listing: a queue of n costs n / 64 a message, not n


class QoS(virtual.QoS):
    channel: "Channel"

    def ack(self, delivery_tag: str) -> None:
        self.channel.spool.settle(delivery_tag)
        super().ack(delivery_tag)
        self.channel.make_room()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        super().reject(delivery_tag, requeue=requeue)
        self.channel.spool.settle(delivery_tag)  # finds nothing when it was given back
        self.channel.make_room()


class Channel(virtual.Channel):
    connection: "Transport"
    QoS = QoS
    supports_fanout = True

    def __init__(self, connection: "Transport", **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        # Kept here: an ack may come after close, which drops the connection.
        self.spool, self.make_room = connection.spool, connection.make_room
        self._ahead: dict[str, deque[str]] = {}
        self._temporary: dict[str, float | None] = {}  # declared here: queue → ttl
        self._passing: set[str] = set()  # temporary queues seen in a table, ours or not

    # Queues and bindings

    def prepare_queue_arguments(
        self, arguments: dict[str, Any] | None, **kwargs: Any
    ) -> dict[str, Any]:
        return dict(to_rabbitmq_queue_arguments(arguments or {}, **kwargs))

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return self.spool.has_queue(queue)

    def _new_queue(
        self,
        queue: str,
        auto_delete: bool = False,
        arguments: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if auto_delete and queue not in self._temporary:
            # What was sent to a dead worker of our name is not for us: it may be "shut down".
            self.spool.sweep_temporary()
            ttl = (arguments or {}).get("x-message-ttl")
            self._temporary[queue] = None if ttl is None else ttl / 1000
        self.spool.open_queue(queue)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        temporary, ttl = queue in self._temporary, self._temporary.get(queue)
        self.spool.bind(exchange, Binding(routing_key or "", pattern or "", queue, temporary, ttl))

    def get_table(self, exchange: str) -> list[tuple[str, str, str]]:
        bindings = {binding for _, binding in self.spool.list_bindings(file_name(exchange))}
        self._passing |= {binding.queue for binding in bindings if binding.temporary}
        return list({binding[:3] for binding in bindings})

    def _delete(
        self, queue: str, exchange: str, routing_key: str, pattern: str, *_: Any, **__: Any
    ) -> None:
        self.spool.unbind(exchange, Binding(routing_key or "", pattern or "", queue))
        self.spool.delete_queue(queue)

    def _purge(self, queue: str) -> int:
        return self.spool.purge(queue)

    def _size(self, queue: str) -> int:
        return self.spool.count_ready(queue)

    # Publishing

    def _put(self, queue: str, message: Any, **_: Any) -> None:
        data = dumps(message).encode()
        try:
            self.spool.publish(queue, data)
        except FileNotFoundError:
            if queue in self._passing:
                return  # whoever asked has gone; a reply to nobody would stay for ever
            self.spool.open_queue(queue)
            self.spool.publish(queue, data)

    def _put_fanout(self, exchange: str, message: Any, routing_key: str, **_: Any) -> None:
        for queue in {queue for _, _, queue in self.get_table(exchange)}:
            self._put(queue, message)

    # Consuming

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        self.connection.sweep_when_due()
        ahead = self._ahead.setdefault(queue, deque())
        while True:
            if not ahead:
                ahead.extend(self.spool.list_oldest(queue, limit=LOOK_AHEAD))
            if not ahead:
                if queue in self._temporary:
                    self.spool.open_queue(queue)  # a sweep may have taken it for a dead namesake's
                raise Empty
            tag = self.spool.claim(queue, ahead.popleft())
            payload = tag and self._read(tag)
            if payload:
                return payload

    def _read(self, tag: str) -> dict[str, Any] | None:
        try:
            payload: dict[str, Any] = loads(self.spool.read(tag))
            properties = payload["properties"]
            # Not the publisher's tag: a fanout gives the same one to every queue.
            properties["delivery_tag"] = tag
            properties["delivery_info"]["redelivered"] = not tag.partition("~")[0].endswith("-0")
            self.Message(payload, channel=self)  # what cannot be decoded fails here
        except Exception:  # whatever the bytes provoke, the worker goes on
            self.spool.move_aside(tag)
            logger.exception("Unreadable message moved to %s", self.spool.bad / tag)
            return None
        return payload

    def basic_consume(
        self,
        queue: str,
        no_ack: bool,
        callback: Callable[..., Any] | None,
        consumer_tag: str | None,
        **kwargs: Any,
    ) -> str:
        def settle_first(message: Any) -> Any:
            self.spool.settle(message.delivery_tag)
            return callback and callback(message)

        wanted = settle_first if no_ack else callback
        return super().basic_consume(queue, no_ack, wanted, consumer_tag, **kwargs)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        message: Any = super().basic_get(queue, no_ack=no_ack, **kwargs)
        if message and no_ack:
            self.spool.settle(message.delivery_tag)
        return message

    def basic_cancel(self, consumer_tag: str) -> None:
        queue = self._tag_to_queue.get(consumer_tag)
        super().basic_cancel(consumer_tag)
        if queue in self._temporary and queue not in self._active_queues:
            del self._temporary[queue]
            self.queue_delete(queue)

    def _restore(self, message: Any) -> None:
        # In a forked child the claim is not under its identity: closing gives back nothing.
        self.spool.give_back(message.delivery_tag, owner=own_identity())


class Transport(virtual.Transport):
    Channel = Channel
    can_parse_url = True  # kombu's own parsing loses the slash that makes a folder absolute
    polling_interval = 0.1  # seconds; a task starts within it
    cycle: FairCycle
    driver_type = driver_name = "filesystem"
    # A full disk is an outage, not a bug: publishers get OperationalError, workers reconnect.
    connection_errors = (OSError,)
    # On the event loop a worker gives each pool process a pipe of its own. Without it they share
    # one behind a lock, and a process killed while it waits there takes the lock with it: the
    # worker then lives on and works no more.
    implements = virtual.Transport.implements.extend(
        asynchronous=True, exchange_type=frozenset(["direct", "topic", "fanout"])
    )

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        folder = client.transport_options.get("folder")
        folder = folder or unquote(client.hostname.partition("://")[2])
        if not folder:
            raise ValueError("The filesystem broker needs a folder: filesystem:///absolute/folder")
        self.spool = Spool(Path(folder).absolute())
        self.room = threading.Event()
        self._loop: Any = None
        self._loop_thread: int | None = None
        self._delivering = False
        self._sweep_due = 0.0

    def establish_connection(self) -> "Transport":
        self.spool.create()
        super().establish_connection()
        return self

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """Deliver one message. Raises TimeoutError after that many seconds without one."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            try:
                self.cycle.get(self._deliver, timeout=timeout)
                return
            except Empty:
                pause = min(self.polling_interval, deadline - time.monotonic())
            if pause <= 0:
                raise TimeoutError
            # A worker with its hands full wakes at its next ack: asleep for the whole interval
            # it would run only ten short tasks a second for each of its processes.
            if self.room.wait(pause):
                self.room.clear()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let a worker's event loop look for messages every interval, and after each ack."""
        self._loop = loop
        loop.call_repeatedly(self.polling_interval, self.deliver_ready)

    def make_room(self) -> None:
        """A message was acknowledged, in whichever thread: there may be room for the next."""
        self.room.set()
        if self._loop is None:
            return
        if threading.get_ident() == self._loop_thread:
            # Not call_soon: an ack may come from there, and the next round waits an interval.
            self.deliver_ready()
        else:
            self._loop.call_soon(self.deliver_ready)

    def deliver_ready(self) -> None:
        """Deliver what is there and there is room for."""
        if self._delivering:
            return  # what is refused on arrival is acknowledged in the middle of this
        self._delivering = True
        self._loop_thread = threading.get_ident()
        try:
            self.room.clear()
            while True:
                self.cycle.get(self._deliver, timeout=0)
        except Empty:
            pass
        finally:
            self._delivering = False

    def sweep_when_due(self) -> None:
        if time.monotonic() < self._sweep_due:
            return
        self._sweep_due = time.monotonic() + SWEEP_SECONDS
        if not self.spool.tmp.is_dir():
            raise ConnectionError(f"The broker's folder is gone: {self.spool.tmp.parent}")
        try:
            self.spool.sweep()
        except OSError:
            logger.exception("Could not tidy %s", self.spool.tmp.parent)

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        return uri

    def driver_version(self) -> str:
        return "N/A"
