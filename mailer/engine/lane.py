"""One connection's work: message after message, the next envelope behind each text."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from mailer.engine.composer import (
    CannotComposeError,
    CannotSendFromHereError,
    Composed,
    Composer,
    Outgoing,
)
from mailer.engine.conversation import Break, Conversation, Stage
from mailer.engine.dispatch import Dispatch, RelayTrouble
from mailer.engine.pace import Pace
from mailer.engine.smtp import Connection
from mailer.engine.stream import Stream

MESSAGES_A_CONNECTION = 1000  # then a new one: some relays refuse more, and say so late


class Lane:
    """Takes messages until there are none, or nothing more may leave. For one thread at a time."""

    def __init__(
        self, connection: Connection, composer: Composer, dispatch: Dispatch, pace: Pace
    ) -> None:
        self.connection = connection
        self.retired = False  # the relay takes no such connection beside the others
        self._composer = composer
        self._dispatch = dispatch
        self._pace = pace
        self.ready = threading.Event()  # it was opened, or cannot be
        self._ahead: Composed | None = None  # composed while the relay was busy
        self._given: deque[Composed] = deque()  # whose text may have left

    def run(self, others: Sequence[Lane]) -> None:
        """Send until there is no more. Raises what is a mistake of ours, with every message that
        may have left accounted for."""
        try:
            text: Composed | None = None
            while True:
                if self._may_stream():
                    self._stream(text)
                    text = None
                following = self._choose(text, others)
                if text is None and following is None:
                    return
                if not self._dispatch.goes_on():
                    self._abandon(text, following)
                    return
                text = self._turn(text, following)
        except BaseException as error:
            self._dispatch.stop()
            self.connection.close()
            for composed in self._given:
                self._dispatch.doubt(composed.message, error)
            self._given.clear()
            raise
        finally:
            self.ready.set()
            if self._ahead is not None:
                self._dispatch.put_back(self._ahead.message)
                self._ahead = None

    def _choose(self, text: Composed | None, others: Sequence[Lane]) -> Composed | None:
        """The message whose envelope is next, with a connection that is ready for it."""
        if text is not None and not self._looks_ahead():
            return None
        while (composed := self._next()) is not None:
            if text is None and not self._connect(composed, others):
                return None
            if self._build(composed):
                return composed
        return None

    def _turn(self, text: Composed | None, following: Composed | None) -> Composed | None:
        """Write, compose the next while the relay works, read; whose text the relay waits for."""
        connection = self.connection
        fresh = connection.transactions == 0
        if text is not None:
            self._given.append(text)
        connection.write(
            text.transaction if text else None, following.transaction if following else None
        )
        if self._pace.is_free:
            self._ahead = self._next()
            if self._ahead is not None and not self._build(self._ahead):
                self._ahead = None
        turn = connection.read()
        if text is not None and turn.text is not None:
            self._dispatch.settle(text.message, turn.text)
        self._given.clear()
        if following is None:
            return None
        if turn.untouched or (turn.refusal and not fresh and _found_dead(turn.refusal)):
            self._dispatch.put_back(following.message)
        elif turn.refusal:
            self._dispatch.settle(following.message, turn.refusal)
        else:
            return following
        return None

    def _may_stream(self) -> bool:
        return self.connection.streams and self._pace.is_free and self._dispatch.goes_on()

    def _stream(self, text: Composed | None) -> None:
        """Message behind message, as many as the line holds; ends with none on the way."""
        stream = Stream(self.connection)
        if text is not None and text.transaction is not None:
            self._given.append(text)
            stream.finish(text.transaction)
        while True:
            while (composed := self._offer(stream)) is not None and composed.transaction:
                self._given.append(composed)
                stream.push(composed.transaction)
            if not self._given:
                return
            self._settle_oldest(stream)

    def _offer(self, stream: Stream) -> Composed | None:
        """The next message, if there is room for it on the line."""
        while stream.has_room() and self.connection.transactions < MESSAGES_A_CONNECTION:
            composed = self._next()
            if composed is None:
                return None
            if self._build(composed) and composed.transaction:
                if stream.has_room(len(composed.transaction.data)):
                    return composed
                self._ahead = composed
                return None
        return None

    def _settle_oldest(self, stream: Stream) -> None:
        composed, counted = self._given[0], stream.has_blamed
        conversation = stream.pull()
        if conversation is None or _found_dead(conversation):
            self._dispatch.put_back(composed.message)
        else:
            self._dispatch.settle(composed.message, conversation, counted=counted)
        self._given.popleft()

    def _looks_ahead(self) -> bool:
        """Whether an envelope may go out behind a text: not where its own text would have to wait
        for its time, nor on a connection that is due to be closed."""
        connection = self.connection
        may = self._pace.is_free and connection.transactions < MESSAGES_A_CONNECTION
        return may and connection.pipelines

    def _next(self) -> Composed | None:
        if self._ahead is None or not self._dispatch.goes_on():
            return self._compose()
        composed, self._ahead = self._ahead, None
        return composed

    def _compose(self) -> Composed | None:
        while (message := self._dispatch.take()) is not None:
            try:
                composed = self._composer.compose(message)
            except CannotComposeError as error:
                self._dispatch.refuse(message, error.problem, error.reason)
                continue
            except CannotSendFromHereError as error:
                self._hold(message, error)
                return None
            if self._pace.wait(self._dispatch.goes_on):
                return composed
            self._dispatch.put_back(message)
        return None

    def _build(self, composed: Composed) -> bool:
        if composed.transaction is not None:
            return True
        connection = self.connection
        try:
            self._composer.build(
                composed,
                eight_bit=connection.eight_bit,
                smtputf8=connection.smtputf8,
                largest=connection.largest_message,
            )
        except CannotComposeError as error:
            self._dispatch.refuse(composed.message, error.problem, error.reason)
            return False
        except CannotSendFromHereError as error:
            self._hold(composed.message, error)
            return False
        return True

    def _hold(self, message: Outgoing, error: CannotSendFromHereError) -> None:
        """No recipient is to blame: every message waits until staff have seen why."""
        self._dispatch.put_back(message)
        reason = f"No mail is given to {self.connection.relay}: {error}"
        self._dispatch.give_up(RelayTrouble("hold", reason))

    def _connect(self, composed: Composed, others: Sequence[Lane]) -> bool:
        """Have a connection that lives. Where there is none to be had, the message is put back."""
        connection = self.connection
        if connection.transactions < MESSAGES_A_CONNECTION and connection.is_alive():
            self.ready.set()
            return True
        connection.quit()
        composed.transaction = None  # another connection may offer other extensions
        failure = connection.open()
        if failure is not None and any(lane.connection.is_open for lane in others):
            self.retired = True
            self._dispatch.put_back(composed.message)
        elif failure is not None:
            self._dispatch.settle(composed.message, failure)
        self.ready.set()
        return failure is None

    def _abandon(self, text: Composed | None, following: Composed | None) -> None:
        if following is not None:
            self._dispatch.put_back(following.message)
        if text is not None:
            # An envelope that was taken cannot be taken back; without its text it is nothing.
            self.connection.close()
            self._dispatch.put_back(text.message)


def _found_dead(refusal: Conversation) -> bool:
    """Whether a kept connection had ended before anything of this message was accepted.

    Relays close idle connections, and others after so many messages, with a 421 or without.
    """
    if refusal.stage is not Stage.MAIL:
        return False
    return refusal.reply.code == 421 if refusal.reply else refusal.broken is Break.LOST
