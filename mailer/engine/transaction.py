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

    def commands(self, *, eight_bit: bool) -> tuple[bytes, bytes, bytes]:
        """MAIL, RCPT and DATA, a line each. `eight_bit`: the relay takes 8BITMIME (RFC 6152)."""
        options = " BODY=8BITMIME" if eight_bit else ""
        if not (self.envelope_sender.isascii() and self.recipient.isascii()):
            options += " SMTPUTF8"
        return (
            f"MAIL FROM:<{self.envelope_sender}>{options}\r\n".encode(),
            f"RCPT TO:<{self.recipient}>\r\n".encode(),
            b"DATA\r\n",
        )


def stuff_dots(data: bytes) -> bytes:
    """Double the dot that begins a line, end with CRLF (RFC 5321 §4.5.2)."""
    stuffed = data.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed if stuffed.endswith(b"\r\n") else stuffed + b"\r\n"
