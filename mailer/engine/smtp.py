"""Hand one message at a time to a relay, and know how far it got."""

from __future__ import annotations

import smtplib
from types import TracebackType
from typing import Self

from mailer.engine.conversation import Conversation, Stage
from mailer.engine.exchange import EndedError, ask, broken, send
from mailer.engine.handshake import open_wire
from mailer.engine.relay import RelayAddress
from mailer.engine.wire import GarbageReply, Wire


class Connection:
    """A connection to a relay, kept for many transactions. A reply is a value, never an error."""

    def __init__(self, relay: RelayAddress) -> None:
        self.relay = relay
        self._wire: Wire | None = None
        self._needs_reset = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.quit()

    @property
    def eight_bit(self) -> bool:
        """Whether the relay takes 8bit bodies (RFC 6152)."""
        return self._wire is not None and self._wire.has_extn("8bitmime")

    @property
    def smtputf8(self) -> bool:
        """Whether the relay takes non-ASCII local parts (RFC 6531)."""
        return self.eight_bit and self._wire is not None and self._wire.has_extn("smtputf8")

    def is_alive(self) -> bool:
        """Whether the connection is open and the relay has not spoken or closed since."""
        return self._wire is not None and not self._wire.has_spoken()

    def open(self) -> Conversation | None:
        """Connect, greet, secure, log in. None when ready, else where and how it ended."""
        self.close()
        try:
            self._wire = open_wire(self.relay)
        except EndedError as ended:
            return ended.conversation
        return None

    def submit(self, envelope_sender: str, recipient: str, data: bytes) -> Conversation:
        """Send one message to one recipient (RFC 5321 §3.3).

        Never blames the recipient for more than the relay said; see verdict.judge.
        `data` comes from Frame.build: only CRLF ends a line, dots are not stuffed yet.
        Raises ValueError for an address that would break the protocol, RuntimeError where the
        connection is not open: both are bugs of the caller.
        """
        if self._wire is None:
            raise RuntimeError("the connection is not open")
        _refuse_unsafe(envelope_sender, recipient)
        try:
            return self._transaction(self._wire, envelope_sender, recipient, data)
        except EndedError as ended:
            reply = ended.conversation.reply
            if reply is None or reply.code == 421 or ended.conversation.stage is Stage.BODY:
                self.close()
            return ended.conversation

    def quit(self) -> None:
        """Say goodbye. What the relay answers no longer matters."""
        if self._wire is not None:
            try:
                self._wire.patience = min(5.0, self.relay.command_timeout)
                self._wire.docmd("QUIT")
            except (OSError, smtplib.SMTPException):
                pass  # every message already has its reply
        self.close()

    def close(self) -> None:
        """Drop the connection without a word."""
        if self._wire is not None:
            self._wire.sock.close()
        self._wire = None
        self._needs_reset = False

    def _transaction(
        self, wire: Wire, envelope_sender: str, recipient: str, data: bytes
    ) -> Conversation:
        if self._needs_reset:
            self._reset(wire)
        options = " BODY=8BITMIME" if self.eight_bit else ""
        if not (envelope_sender + recipient).isascii():
            options += " SMTPUTF8"
        ask(wire, Stage.MAIL, f"MAIL FROM:<{envelope_sender}>{options}")
        self._needs_reset = True
        ask(wire, Stage.RCPT, f"RCPT TO:<{recipient}>")
        ask(wire, Stage.DATA, "DATA", expected=3)
        send(wire, Stage.BODY, stuff_dots(data))
        if wire.has_spoken():
            # A reply or a drop before the dot: not accepted for certain, so do not send the dot.
            ask(wire, Stage.BODY, None)
            raise broken(Stage.BODY, GarbageReply("a reply before the end of the message"))
        send(wire, Stage.DOT, b".\r\n")
        wire.patience = self.relay.final_timeout
        try:
            self._needs_reset = False
            return ask(wire, Stage.DOT, None)
        finally:
            wire.patience = self.relay.command_timeout

    def _reset(self, wire: Wire) -> None:
        """End the refused transaction; now, so that a slow RSET delays no outcome."""
        try:
            ask(wire, Stage.MAIL, "RSET")
        except EndedError as ended:
            # Whatever it answered, it says nothing about the next message: a dead connection.
            raise broken(Stage.MAIL, ConnectionError("RSET failed")) from ended
        self._needs_reset = False


def stuff_dots(data: bytes) -> bytes:
    """Double the dot that begins a line, end with CRLF (RFC 5321 §4.5.2)."""
    stuffed = data.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed if stuffed.endswith(b"\r\n") else stuffed + b"\r\n"


def _refuse_unsafe(*addresses: str) -> None:
    for address in addresses:
        if any(c in address for c in "\r\n\0<>") or not address.isprintable():
            raise ValueError("an envelope address holds a character that would end the command")
