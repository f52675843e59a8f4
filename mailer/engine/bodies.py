"""Message bodies as MIME entities (RFC 2045, RFC 2046)."""

from __future__ import annotations

from binascii import b2a_qp
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

LINE_LIMIT = 998  # octets without the CRLF, RFC 5321 §4.5.3.1.6


#: Its pieces, to be joined; and its transfer encoding.
Entity = tuple[Sequence[bytes], str]


@dataclass(frozen=True, slots=True)
class Body:
    """A text as UTF-8 with CRLF lines, the last one ended too; in pieces.

    `is_ascii`, and whether it `fits` on the wire as it stands: no line over 998 octets, no NUL.
    """

    pieces: Sequence[bytes]
    is_ascii: bool
    fits: bool

    @property
    def octets(self) -> bytes:
        return b"".join(self.pieces)


def write_body(text: str) -> Body:
    """Line ends of any kind become CRLF. Raises UnicodeEncodeError for half a surrogate pair."""
    octets = _with_crlf(text.encode())
    return Body((octets,), octets.isascii(), not _has_long_line(octets) and b"\0" not in octets)


def text_entity(subtype: str, body: Body, *, eight_bit: bool) -> Entity:
    """A text part: its header fields, a blank line and its body."""
    if body.fits and (body.is_ascii or eight_bit):
        encoding = "7bit" if body.is_ascii else "8bit"
        return (_text_head(subtype, encoding), *body.pieces), encoding
    # istext keeps line ends as they are; a space or tab before one is encoded.
    octets = b2a_qp(body.octets, istext=True)
    return (_text_head(subtype, "quoted-printable"), octets), "quoted-printable"


def multipart_entity(
    subtype: bytes, entities: Sequence[Entity], boundary: bytes, parameters: bytes = b""
) -> Entity:
    """multipart/subtype of entities that end with CRLF, in their order (RFC 2046 §5.1)."""
    # An entity that holds 8bit parts has to say so itself; base64 and quoted-printable never
    # stand before a multipart (RFC 2045 §6.4).
    encoding = "8bit" if any(used == "8bit" for _, used in entities) else "7bit"
    delimiter = b"--" + boundary
    pieces = [
        b"Content-Type: multipart/" + subtype + b';\r\n boundary="' + boundary + b'"' + parameters,
        b"\r\nContent-Transfer-Encoding: " + encoding.encode("ascii") + b"\r\n\r\n",
    ]
    for inner, _ in entities:
        pieces += [delimiter, b"\r\n", *inner, b"\r\n"]
    pieces += [delimiter, b"--\r\n"]
    return pieces, encoding


@cache
def _text_head(subtype: str, encoding: str) -> bytes:
    kind = f'Content-Type: text/{subtype}; charset="utf-8"\r\n'
    return f"{kind}Content-Transfer-Encoding: {encoding}\r\n\r\n".encode("ascii")


def _with_crlf(octets: bytes) -> bytes:
    ends = octets.count(b"\r\n")
    # Templates are compiled with CRLF, so it is usual that all is well.
    if not (ends == octets.count(b"\n") == octets.count(b"\r")):
        octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return octets if octets.endswith(b"\r\n") else octets + b"\r\n"


def _has_long_line(octets: bytes) -> bool:
    start = 0
    # From one line end to the last one within reach: a step per 998 octets, not one a line.
    while len(octets) - start > LINE_LIMIT + 2:
        end = octets.rfind(b"\n", start, start + LINE_LIMIT + 2)
        if end < 0:
            return True
        start = end + 1
    return False
