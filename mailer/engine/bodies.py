"""Message bodies as MIME entities (RFC 2045, RFC 2046)."""

from __future__ import annotations

from binascii import b2a_qp

_LINE_LIMIT = 998  # octets without the CRLF, RFC 5321 §4.5.3.1.6


def text_entity(subtype: str, text: str, *, eight_bit: bool) -> tuple[bytes, str]:
    """A text part: its header fields, a blank line and its body; and its transfer encoding.

    Line ends of any kind become CRLF. Raises UnicodeEncodeError for half a surrogate pair.
    """
    body, encoding = _encode(text, eight_bit=eight_bit)
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}'
    return head.encode("ascii") + b"\r\n\r\n" + body, encoding


def alternative_entity(parts: list[tuple[bytes, str]], boundary: bytes) -> bytes:
    """multipart/alternative of entities with their encodings, the best last (RFC 2046 §5.1.4)."""
    # An entity that holds 8bit parts has to say so itself (RFC 2045 §6.4).
    encoding = b"8bit" if any(used == "8bit" for _, used in parts) else b"7bit"
    delimiter = b"--" + boundary
    return b"".join(
        [
            b'Content-Type: multipart/alternative;\r\n boundary="' + boundary + b'"\r\n',
            b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n",
            *(delimiter + b"\r\n" + entity + b"\r\n" for entity, _ in parts),
            delimiter + b"--\r\n",
        ]
    )


def _encode(text: str, *, eight_bit: bool) -> tuple[bytes, str]:
    octets = _with_crlf(text.encode())
    encoding = "7bit" if octets.isascii() else "8bit"
    if _has_long_line(octets) or b"\0" in octets or (encoding == "8bit" and not eight_bit):
        encoding = "quoted-printable"
        # istext keeps line ends as they are; a space or tab before one is encoded.
        octets = b2a_qp(octets, istext=True)
    return octets, encoding


def _with_crlf(octets: bytes) -> bytes:
    ends = octets.count(b"\r\n")
    # Templates are compiled with CRLF, so it is usual that all is well.
    if not (ends == octets.count(b"\n") == octets.count(b"\r")):
        octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return octets if octets.endswith(b"\r\n") else octets + b"\r\n"


def _has_long_line(octets: bytes) -> bool:
    start = 0
    # From one line end to the last one within reach: a step per 998 octets, not one a line.
    while len(octets) - start > _LINE_LIMIT + 2:
        end = octets.rfind(b"\n", start, start + _LINE_LIMIT + 2)
        if end < 0:
            return True
        start = end + 1
    return False
