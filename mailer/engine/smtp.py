"""A connection to a relay, turn by turn, each turn knowing how far it got."""

from __future__ import annotations

import smtplib
from contextlib import suppress
from dataclasses import dataclass

from mailer.engine.conversation import Break, Conversation, Stage
from mailer.engine.exchange import EndedError, broken, conclude, hear, unasked
from mailer.engine.handshake import open_wire
from mailer.engine.relay import RelayAddress
from mailer.engine.transaction import Transaction, stuff_dots
from mailer.engine.wire import Wire

_DOT = b".\r\n"
_RSET = b"RSET\r\n"
_LONG_TEXT = 65_536  # octets; a relay may well refuse such a one before its end
_WRITTEN = (None, None, None)
_STEPS = ((Stage.MAIL, 2), (Stage.RCPT, 2), (Stage.DATA, 3))  # with the reply each hopes for
_LIES = (Break.TIMED_OUT, Break.GARBAGE)  # replies fewer or other than the commands
_MIXED_UP = Conversation(
    Stage.DOT, None, Break.GARBAGE, "the relay offers PIPELINING, but does not answer each command"
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
    """

    def __init__(self, relay: RelayAddress) -> None:
        self.relay = relay
        self.eight_bit = False  # it takes 8bit bodies (RFC 6152)
        self.smtputf8 = False  # it takes non-ASCII local parts (RFC 6531)
        self.pipelines = False  # a text and an envelope may share a turn
        self.distrusted = False  # its PIPELINING turned out not to be true
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

    def open(self) -> Conversation | None:
        """Connect, greet, secure, log in. None when ready, else where and how it ended."""
        self.close()
        try:
            self._wire = wire = open_wire(self.relay)
        except EndedError as ended:
            return ended.conversation
        self.eight_bit = wire.has_extn("8bitmime")
        self.smtputf8 = self.eight_bit and wire.has_extn("smtputf8")
        self.pipelines = wire.has_extn("pipelining") and not self.distrusted
        return None

    def write(self, text: Transaction | None, envelope: Transaction | None) -> None:
        """Hand over the text of the transaction whose envelope was taken, and the next envelope.

        read() has to follow; it also tells what went wrong in here.
        """
        wire = self._opened()
        if text and envelope and not self.pipelines:
            raise RuntimeError("without PIPELINING a turn is a text or an envelope")
        self._text, self._envelope, self._failed = text, envelope, None
        body = b""
        if text:
            body, self._lead = stuff_dots(text.data), _DOT
            if wire.has_more:  # it refused before the text: surely not accepted
                self._failed = unasked(wire, Stage.BODY)
                return
        commands = b""
        if envelope:
            self.transactions += 1
            if self.pipelines:
                commands = b"".join(envelope.commands(eight_bit=self.eight_bit))
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
        wire = self._opened()
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
            if refused and (refused.ends_connection or lead == _RSET):
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

    def _opened(self) -> Wire:
        if self._wire is None:
            raise RuntimeError("the connection is not open")
        return self._wire

    def _hear_envelope(
        self, wire: Wire, envelope: Transaction
    ) -> tuple[Conversation | None, Conversation | None]:
        """The first refusal, and what ended the connection; None where there was none."""
        pipelined = self.pipelines
        commands = _WRITTEN if pipelined else envelope.commands(eight_bit=self.eight_bit)
        refusal: Conversation | None = None
        for (stage, hoped), command in zip(_STEPS, commands, strict=True):
            said = hear(wire, stage, command, hoped=hoped)
            if said is None:
                if refusal and stage is Stage.DATA:
                    self._lead = _DOT  # it waits for a text to nobody (RFC 2920 §3.1)
                continue
            refusal = refusal or said
            if said.ends_connection:
                return refusal, said
            self._lead = _RSET
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
        """Doubt the replies of a relay that has not shown yet that its PIPELINING is true."""
        doubtful = self.pipelines and not self._proven
        lied = doubtful and (end.broken in _LIES if end else wire.has_spoken())
        if end or lied:
            self.close()
        if lied:
            self.distrusted = True
            return Turn(text and _MIXED_UP, untouched=True)
        self._proven = self._proven or (text is not None and end is None)
        return Turn(text, refusal)

    def _end(self, conversation: Conversation) -> Turn:
        """The connection is over before the relay came to the envelope."""
        if self._text and self._envelope and not self._proven and conversation.broken in _LIES:
            self.distrusted = True  # it may have taken the envelope for more of the text
        self.close()
        if not self._text:
            return Turn(refusal=conversation)
        return Turn(conversation, untouched=self._envelope is not None)
