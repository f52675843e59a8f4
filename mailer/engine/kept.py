"""Connections that outlive their batch, so that the next one to the same relay finds them open."""

from __future__ import annotations

import threading
import time

from mailer.engine.relay import RelayAddress
from mailer.engine.smtp import Connection

IDLE_SECONDS = 20.0  # shorter than any relay's own patience; an idle process must not hold places


class KeptConnections:
    """What this process has open and nobody uses. Threads share it."""

    def __init__(self, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._idle: list[tuple[float, Connection]] = []
        self._distrusted: dict[RelayAddress, set[str]] = {}  # what relays offer and cannot do
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def take(self, relay: RelayAddress) -> Connection:
        """A connection to the relay, perhaps open. The relay may have closed it since."""
        with self._lock:
            for index, (_, connection) in enumerate(self._idle):
                if connection.relay == relay:
                    del self._idle[index]
                    return connection
            return Connection(relay, self._distrusted.setdefault(relay, set()))

    def give(self, connection: Connection) -> None:
        """Keep it for the next, or for a while."""
        with self._lock:
            if connection.is_open:
                self._idle.append((time.monotonic() + self._idle_seconds, connection))
                self._wake_later()

    def close(self) -> None:
        """Say goodbye to all that are idle."""
        self._close_until(float("inf"))

    def _close_due(self) -> None:
        self._close_until(time.monotonic())

    def _close_until(self, moment: float) -> None:
        with self._lock:
            due = [connection for until, connection in self._idle if until <= moment]
            self._idle = [(until, kept) for until, kept in self._idle if until > moment]
            self._timer = None
            self._wake_later()
        for connection in due:
            connection.quit()

    def _wake_later(self) -> None:
        if self._idle and self._timer is None:
            pause = max(0.0, self._idle[0][0] - time.monotonic())
            self._timer = threading.Timer(pause, self._close_due)
            self._timer.daemon = True
            self._timer.start()
