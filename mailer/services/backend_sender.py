"""Sending through a Django e-mail backend, with the states and stops of SMTP (decision 14)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connections as database_connections

from mailer.engine.composer import CannotComposeError, Outgoing
from mailer.engine.crew import Crew
from mailer.engine.dispatch import Dispatch
from mailer.engine.ending import Ending
from mailer.engine.pace import Pace
from mailer.engine.verdict import Outcome

from .backend_errors import read_construction, read_opening, read_raised, read_returned, status_of
from .backend_message import BackendComposer

log = logging.getLogger(__name__)

# Relays close idle connections, and others after so many messages; smtplib finds out in the middle
# of the next message, which would be in doubt.
IDLE_SECONDS = 5.0
MESSAGES_A_CONNECTION = 100


class BackendSender(Crew["BackendLane"]):
    """Sends messages through one backend, in several threads with a connection of their own."""

    def __init__(
        self,
        backend: str,
        composer: BackendComposer,
        *,
        connections: int = 1,
        pace: Pace | None = None,
        suspect: bool = False,
    ) -> None:
        """`backend` is its dotted name, one of MAILER_BACKENDS. It is `suspect` when it was in
        trouble before (see Dispatch)."""
        dispatch, pace = Dispatch(backend, clock=composer.clock, suspect=suspect), pace or Pace()
        lanes = [BackendLane(backend, composer, dispatch, pace) for _ in range(connections)]
        super().__init__(lanes, dispatch)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        for lane in self._lanes:
            lane.close()

    def _work(self, lane: BackendLane, others: Sequence[BackendLane]) -> None:
        try:
            lane.run(others)
        finally:
            database_connections.close_all()  # of this thread: a backend may use the database


class BackendLane:
    """One connection of a backend and its work. For one thread at a time."""

    def __init__(
        self, backend: str, composer: BackendComposer, dispatch: Dispatch, pace: Pace
    ) -> None:
        self.retired = False
        self.ready = threading.Event()
        self._backend = backend
        self._composer = composer
        self._dispatch = dispatch
        self._pace = pace
        self._connection: BaseEmailBackend | None = None
        self._used_at = 0.0
        self._messages = 0

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def run(self, others: Sequence[BackendLane]) -> None:
        """Send until there is no more. Raises what is a mistake of ours, with a message that may
        have left accounted for."""
        try:
            while (message := self._dispatch.take()) is not None:
                if not self._send(message, others):
                    return
        except BaseException:
            self._dispatch.stop()
            raise
        finally:
            self.ready.set()

    def close(self) -> None:
        """Say goodbye; what was accepted stays accepted, whatever comes of it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._say_goodbye(connection)

    def _say_goodbye(self, connection: BaseEmailBackend) -> None:
        try:
            connection.close()
        except Exception as error:
            log.info("%s was not closed: %s", self._backend, type(error).__name__)

    def _send(self, message: Outgoing, others: Sequence[BackendLane]) -> bool:
        """Settle one message; False where it was put back."""
        try:
            mail = self._composer.compose(message)
        except CannotComposeError as error:
            self._dispatch.refuse(message, error.problem, error.reason)
            return True
        if not self._pace.wait(self._dispatch.goes_on):
            self._dispatch.put_back(message)
            return False
        connection = self._connect(message, others)
        if connection is None:
            return False
        if not self._dispatch.goes_on():
            self._dispatch.put_back(message)
            return False
        try:
            ending = _hand_over(mail, connection)
        except BaseException as error:
            self._dispatch.doubt(message, error)
            raise
        self._messages, self._used_at = self._messages + 1, time.monotonic()
        if ending.verdict.outcome is not Outcome.SENT:
            # smtplib may have lost it meanwhile, and says so with the next message only.
            self.close()
        self._dispatch.conclude(message, ending)
        return True

    def _connect(self, message: Outgoing, others: Sequence[BackendLane]) -> BaseEmailBackend | None:
        """A connection that can be trusted. Where there is none to be had, the message is put
        back."""
        idle = time.monotonic() - self._used_at
        if idle > IDLE_SECONDS or self._messages >= MESSAGES_A_CONNECTION:
            self.close()
        if self._connection is None:
            failure = self._open()
            if failure is not None and any(lane.is_open for lane in others):
                self.retired = True
                self._dispatch.put_back(message)
            elif failure is not None:
                self._dispatch.conclude(message, failure)
        self.ready.set()
        return self._connection

    def _open(self) -> Ending | None:
        """Open a connection apart from sending, so that what this raises proves that nothing
        left; None when it is open."""
        try:
            connection = get_connection(self._backend)
        except Exception as error:
            return read_construction(error)
        try:
            connection.open()
        except Exception as error:
            self._say_goodbye(connection)  # it may be open in part
            return read_opening(error)
        self._connection, self._messages, self._used_at = connection, 0, time.monotonic()
        return None


def _hand_over(mail: EmailMessage, connection: BaseEmailBackend) -> Ending:
    try:
        returned = connection.send_messages([mail])
    except Exception as error:
        return read_raised(error, status_of(mail))
    return read_returned(returned, status_of(mail))
