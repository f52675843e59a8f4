"""Whole transactions on their way, one behind the other, their replies a round trip later."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from mailer.engine.conversation import Break, Conversation, Stage
from mailer.engine.exchange import broken, conclude, hear, unasked
from mailer.engine.smtp import MIXED_UP, RSET, Connection
from mailer.engine.transaction import Transaction

WINDOW = 20  # messages on their way: what a break may leave in doubt
WINDOW_OCTETS = 1_000_000  # or one message that is longer
_BEFORE_THE_TEXT = (Stage.MAIL, Stage.MAIL, Stage.RCPT)  # the first of them RSET's reply
_LAST_WORDS = 5.0  # seconds for what a relay still says that has hung up, or no longer reads


@dataclass(slots=True)
class _Parcel:
    """What was written for one message, and the replies to come before that to its text."""

    octets: int
    stages: tuple[Stage, ...]
    begun: bool = False  # some of it may have left
    left: bool = False  # its last octet may have left: it may be accepted


class Stream:
    """Pipelined BDATs (RFC 2920, RFC 3030) on a connection that has shown that it takes them.

    push() until there is no room, then pull() as many conversations, oldest first. Nothing else
    may use the connection meanwhile. Closes it when it ends badly.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._wire = connection.opened()
        self._flight: deque[_Parcel] = deque()
        self._octets = 0
        self._unwritten: Conversation | None = None  # how writing ended; there may be replies yet
        self._lost: Conversation | None = None  # how hearing ended
        self._closing = False  # the relay said 421
        self._parted = False  # and nothing after it
        self._blamed = False  # a message has been given the break for its outcome

    @property
    def has_blamed(self) -> bool:
        """Whether a message was said to have ended with a break that others share."""
        return self._blamed

    def has_room(self, octets: int = 0) -> bool:
        """Whether so many more may follow. Not while there are replies to read: the relay may
        wait for that, and they may say that it is closing."""
        if self._closing or self._unwritten or not self._connection.streams:
            return False
        full = len(self._flight) >= WINDOW or self._octets + octets > WINDOW_OCTETS
        return not (self._flight and full) and not self._wire.has_spoken()

    def push(self, transaction: Transaction) -> None:
        """Write a transaction. What goes wrong in here, pull() tells."""
        self._connection.transactions += 1
        whole = transaction.whole(eight_bit=self._connection.eight_bit)
        # One that was refused, nobody knows it yet, would refuse the next.
        self._write(RSET + whole, _BEFORE_THE_TEXT)

    def finish(self, transaction: Transaction) -> None:
        """Write the text of a transaction whose envelope was taken."""
        self._write(b"".join(transaction.text(chunked=True)), ())

    def pull(self) -> Conversation | None:
        """How the oldest ended; None where the relay cannot have accepted it and did not refuse it.

        At most the first of those that a break ends is deferred for it.
        """
        parcel = self._flight.popleft()
        self._octets -= parcel.octets
        said = None if self._lost else self._hear(parcel)
        if said is None and self._lost:
            said = self._weigh(parcel, self._lost)
        if not self._flight:
            self._rest()
        return said

    def _write(self, data: bytes, stages: tuple[Stage, ...]) -> None:
        parcel = _Parcel(len(data), stages)
        self._flight.append(parcel)
        self._octets += parcel.octets
        try:
            self._wire.send(data)
            parcel.begun = parcel.left = True
        except OSError as error:
            parcel.begun = self._wire.sent > 0
            self._unwritten = broken(Stage.BODY, error).conversation

    def _hear(self, parcel: _Parcel) -> Conversation | None:
        """The first refusal, else the reply to the text; None where a break came before both."""
        relay = self._connection.relay
        refusal: Conversation | None = None
        for stage in parcel.stages:
            self._wire.patience = self._within(relay.command_timeout)
            said = hear(self._wire, stage)
            if said and said.reply is None:
                self._lose(said)
                return refusal
            self._note(said)
            refusal = refusal or said
        self._wire.patience = self._within(relay.final_timeout)
        said = conclude(self._wire, Stage.DOT)
        self._wire.patience = relay.command_timeout
        if said.reply is None:
            self._lose(said)
            return refusal
        self._note(said)
        if said.reply.code < 300 and (refusal or not parcel.left):
            self._lose(MIXED_UP)  # nobody accepts a text to nobody, or one that is not there
            return None
        return refusal or said

    def _note(self, said: Conversation | None) -> None:
        self._parted = said is not None and said.ends_connection
        self._closing = self._closing or self._parted

    def _within(self, seconds: float) -> float:
        return min(seconds, _LAST_WORDS) if self._closing or self._unwritten else seconds

    def _lose(self, how: Conversation) -> None:
        """Nothing more is heard. Without a 421 before it, that costs the relay our trust: a person
        has to look at each message in doubt, and with DATA there is one at most."""
        self._lost = how
        if not self._parted and how.reply is None:
            self._connection.distrusted.add("chunking")
        self._connection.close()

    def _weigh(self, parcel: _Parcel, lost: Conversation) -> Conversation | None:
        """What becomes of a message about which the relay did not say a word."""
        if self._parted and lost.broken is Break.LOST:
            return None  # it said 421 and closed, as announced: what came behind was not looked at
        if not parcel.begun or (self._blamed and not parcel.left):
            return None
        self._blamed = True
        stage = Stage.DOT if parcel.left else Stage.BODY
        return Conversation(stage, None, lost.broken, lost.detail)

    def _rest(self) -> None:
        """Leave a connection that the next may use, or none."""
        if self._closing or self._unwritten:
            self._connection.close()
        elif self._lost is None and self._wire.has_more:
            self._lose(unasked(self._wire, Stage.MAIL))
