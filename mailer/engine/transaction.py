"""One message to one recipient as SMTP carries it (RFC 5321 §3.3)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Transaction:
    """An envelope and its text.

    `data` comes from Frame.build: only CRLF ends a line, dots are not stuffed yet. Raises
    ValueError for an address that would break the protocol: a mistake of the caller's.
    """

    envelope_sender: str
    recipient: str
    data: bytes

    def __post_init__(self) -> None:
        for address in (self.envelope_sender, self.recipient):
            if not address.isprintable() or "<" in address or ">" in address:
                raise ValueError("an envelope address holds a character that would end the command")

    def commands(self, *, eight_bit: bool, chunked: bool = False) -> tuple[bytes, bytes, bytes]:
        """MAIL, RCPT and DATA. `eight_bit`: the relay takes 8BITMIME (RFC 6152).

        `chunked`: in the place of DATA a BDAT (RFC 3030) with the text's first line alone. It is a
        header, and harmless where a relay takes it for a command.
        """
        options = " BODY=8BITMIME" if eight_bit else ""
        if not (self.envelope_sender.isascii() and self.recipient.isascii()):
            options += " SMTPUTF8"
        return (
            f"MAIL FROM:<{self.envelope_sender}>{options}\r\n".encode(),
            f"RCPT TO:<{self.recipient}>\r\n".encode(),
            _chunk(self.data[: self._first_line]) if chunked else b"DATA\r\n",
        )

    def text(self, *, chunked: bool = False) -> tuple[bytes, bytes]:
        """What follows those commands: all of it but its end, and the end, without which a relay
        cannot accept it."""
        if not chunked:
            return stuff_dots(self.data), b".\r\n"
        rest = _chunk(self.data[self._first_line :], last=True)
        return rest[:-1], rest[-1:]

    def whole(self, *, eight_bit: bool) -> bytes:
        """Commands and text as one, with a BDAT."""
        mail, rcpt, _ = self.commands(eight_bit=eight_bit, chunked=True)
        return mail + rcpt + _chunk(self.data, last=True)

    @property
    def _first_line(self) -> int:
        return self.data.find(b"\n") + 1


def _chunk(data: bytes, *, last: bool = False) -> bytes:
    if last and not data.endswith(b"\r\n"):
        data += b"\r\n"
    return b"BDAT %d%s\r\n%s" % (len(data), b" LAST" if last else b"", data)


def stuff_dots(data: bytes) -> bytes:
    """Double the dot that begins a line, end with CRLF (RFC 5321 §4.5.2)."""
    stuffed = data.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed if stuffed.endswith(b"\r\n") else stuffed + b"\r\n"
