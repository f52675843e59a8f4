"""A connection to a relay, turn by turn, each turn knowing how far it got."""

from __future__ import annotations

import smtplib
import time
from contextlib import suppress
from dataclasses import dataclass

from mailer.engine.conversation import Break, Conversation, Stage
from mailer.engine.exchange import EndedError, broken, conclude, hear, unasked
from mailer.engine.handshake import open_wire
from mailer.engine.relay import RelayAddress
from mailer.engine.transaction import Transaction
from mailer.engine.wire import Wire

_DOT = b".\r\n"
RSET = b"RSET\r\n"
FAR_AWAY = 0.002  # seconds of round trip from which on CHUNKING pays
_RESTED = 1.0  # seconds of silence after which a relay may be about to hang up
_LONG_TEXT = 65_536  # octets; a relay may well refuse such a one before its end
_WRITTEN = (None, None, None)
_STAGES = (Stage.MAIL, Stage.RCPT, Stage.DATA)
_LIES = (Break.TIMED_OUT, Break.GARBAGE)  # replies fewer or other than the commands
MIXED_UP = Conversation(
    Stage.DOT, None, Break.GARBAGE, "the relay does not answer each command with one reply"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What became of a text, and of an envelope.

    `refusal` is None where the envelope was taken: its text has to follow in the next turn.
    `untouched`: it was not taken, and the relay cannot have looked at it.
    """

    text: Conversation | None = None
    refusal: Conversation | None = None
    untouched: bool = False


class Connection:
    """Keeps a connection for many transactions. A reply is a value, never an error.

    In turns of write() and read(). Where the relay offers PIPELINING (RFC 2920), a turn carries
    the text of one transaction and the envelope of the next; else it carries one of the two.
    Where CHUNKING (RFC 3030) is offered too and pays, DATA is a BDAT, the dot a BDAT LAST; a
    connection on which that went well takes a Stream.

    `distrusted`: the extensions that the relay offers in vain. Its connections share them.
    """

    def __init__(self, relay: RelayAddress, distrusted: set[str] | None = None) -> None:
        self.relay = relay
        self.eight_bit = False  # it takes 8bit bodies (RFC 6152)
        self.smtputf8 = False  # it takes non-ASCII local parts (RFC 6531)
        self.largest_message = 0  # octets (RFC 1870); 0: no limit
        self.pipelines = False  # a text and an envelope may share a turn
        self.chunks = False  # the text travels in chunks of known length
        self.distrusted = set() if distrusted is None else distrusted
        self.transactions = 0  # begun since it was opened
        self._wire: Wire | None = None
        self._lead = b""  # has to be said before the next envelope
        self._proven = False  # it has shown that it answers whatever comes behind a text
        self._text: Transaction | None = None
        self._envelope: Transaction | None = None
        self._failed: Conversation | None = None

    @property
    def is_open(self) -> bool:
        return self._wire is not None

    def is_alive(self) -> bool:
        """Whether the connection is open and the relay has not spoken or closed since."""
        return self._wire is not None and not self._wire.has_spoken()

    @property
    def streams(self) -> bool:
        """Whether a transaction may follow another whole: the relay has shown that it counts the
        octets and answers each command, and is awake."""
        return (
            self._wire is not None
            and self.chunks
            and self._proven
            and "chunking" not in self.distrusted
            and time.monotonic() - self._wire.heard_at < _RESTED
        )

    def open(self) -> Conversation | None:
        """Connect, greet, secure, log in. None when ready, else where and how it ended."""
        self.close()
        try:
            self._wire = wire = open_wire(self.relay)
        except EndedError as ended:
            return ended.conversation
        self.eight_bit = wire.has_extn("8bitmime")
        self.smtputf8 = self.eight_bit and wire.has_extn("smtputf8")
        self.largest_message = wire.largest_message
        self.pipelines = self._trusts(wire, "pipelining")
        self.chunks = (
            self.pipelines and self._trusts(wire, "chunking") and wire.round_trip > FAR_AWAY
        )
        return None

    def write(self, text: Transaction | None, envelope: Transaction | None) -> None:
        """Hand over the text of the transaction whose envelope was taken, and the next envelope.

        read() has to follow; it also tells what went wrong in here.
        """
        wire = self.opened()
        if text and envelope and not self.pipelines:
            raise RuntimeError("without PIPELINING a turn is a text or an envelope")
        self._text, self._envelope, self._failed = text, envelope, None
        body = b""
        if text:
            body, self._lead = text.text(chunked=self.chunks)
            if wire.has_more:  # it refused before the text: surely not accepted
                self._failed = unasked(wire, Stage.BODY)
                return
        commands = b""
        if envelope:
            self.transactions += 1
            if self.pipelines:
                commands = b"".join(self._commands(envelope))
        try:
            if len(body) > _LONG_TEXT:
                wire.send(body)
                if wire.has_spoken():  # "too big", say: without its dot it is not accepted
                    self._failed = unasked(wire, Stage.BODY)
                    return
                body = b""
            wire.send(body + self._lead + commands)
        except OSError as error:
            stage = Stage.MAIL
            if text:
                stage = Stage.DOT if wire.sent > len(body) else Stage.BODY
            self._failed = broken(stage, error).conversation

    def read(self) -> Turn:
        """What the relay says to what was written. The connection may be closed afterwards."""
        wire = self.opened()
        if self._failed:
            return self._end(self._failed)
        lead, self._lead = self._lead, b""
        text = None
        if self._text:
            wire.patience = self.relay.final_timeout
            text = conclude(wire, Stage.DOT)
            wire.patience = self.relay.command_timeout
            if text.ends_connection:
                return self._end(text)
        elif lead:
            refused = hear(wire, Stage.MAIL)
            # Refusing a lone dot, which has no recipient, is right. RSET cannot be refused.
            if refused and (refused.ends_connection or lead == RSET):
                return self._end(Conversation(Stage.MAIL, None, Break.LOST, "RSET failed"))
        if not self._envelope:
            return Turn(text)
        return self._weigh(wire, text, *self._hear_envelope(wire, self._envelope))

    def quit(self) -> None:
        """Say goodbye. What the relay answers no longer matters."""
        # A relay that waits for a text, be it to nobody, would take QUIT for a line of it.
        if self._wire is not None and self._lead != _DOT:
            with suppress(OSError, smtplib.SMTPException):  # every message already has its reply
                self._wire.patience = min(5.0, self.relay.command_timeout)
                self._wire.docmd("QUIT")
        self.close()

    def close(self) -> None:
        """Drop the connection without a word."""
        if self._wire is not None:
            self._wire.sock.close()
        self._wire = None
        self._lead = b""
        self._proven = False
        self.transactions = 0

    def opened(self) -> Wire:
        """The wire. Raises RuntimeError where there is none: a mistake of ours."""
        if self._wire is None:
            raise RuntimeError("the connection is not open")
        return self._wire

    def _trusts(self, wire: Wire, extension: str) -> bool:
        return wire.has_extn(extension) and extension not in self.distrusted

    def _distrust(self) -> None:
        self.distrusted.add("chunking" if self.chunks else "pipelining")

    def _commands(self, envelope: Transaction) -> tuple[bytes, bytes, bytes]:
        return envelope.commands(eight_bit=self.eight_bit, chunked=self.chunks)

    def _hear_envelope(
        self, wire: Wire, envelope: Transaction
    ) -> tuple[Conversation | None, Conversation | None]:
        """The first refusal, and what ended the connection; None where there was none."""
        pipelined = self.pipelines
        commands = _WRITTEN if pipelined else self._commands(envelope)
        refusal: Conversation | None = None
        for stage, command in zip(_STAGES, commands, strict=True):
            waits = stage is Stage.DATA and not self.chunks
            said = hear(wire, stage, command, hoped=3 if waits else 2)
            if said is None:
                if refusal and waits:
                    self._lead = _DOT  # it waits for a text to nobody (RFC 2920 §3.1)
                continue
            refusal = refusal or said
            if said.ends_connection:
                return refusal, said
            self._lead = RSET
            if not pipelined:
                break
        return refusal, None

    def _weigh(
        self,
        wire: Wire,
        text: Conversation | None,
        refusal: Conversation | None,
        end: Conversation | None,
    ) -> Turn:
        """Doubt the replies of a relay that has not shown yet that what it offers is true."""
        doubtful = self.pipelines and not self._proven
        lied = doubtful and (end.broken in _LIES if end else wire.has_spoken())
        if doubtful and self.chunks and not text and refusal:
            # A word it never heard of, and a header that it took for another. Nothing is accepted.
            lied = lied or _refuses_for_good(refusal, Stage.DATA)
        if end or lied:
            self.close()
        if lied:
            self._distrust()
            return Turn(text and MIXED_UP, untouched=True)
        self._proven = self._proven or (text is not None and end is None)
        return Turn(text, refusal)

    def _end(self, conversation: Conversation) -> Turn:
        """The connection is over before the relay came to the envelope."""
        # It may have choked on the chunk, or taken the envelope for more of the text.
        choked = self.chunks or (self._envelope and conversation.broken in _LIES)
        if choked and self._text and not self._proven and conversation.broken:
            self._distrust()
        self.close()
        if not self._text:
            return Turn(refusal=conversation)
        return Turn(conversation, untouched=self._envelope is not None)


def _refuses_for_good(refusal: Conversation, stage: Stage) -> bool:
    """Whether it is 5xx, or a break, at that stage."""
    return refusal.stage is stage and (refusal.reply is None or refusal.reply.code >= 500)
