"""Header fields as folded bytes (RFC 5322 §2.2.3, RFC 2047)."""

from __future__ import annotations

import re
from base64 import b64encode

from mailer.engine.addresses import wire_address

_PREFERRED = 78  # octets in a line without its CRLF, RFC 5322 §2.1.1
_ENCODED_LINE = 76  # a line with an encoded-word, RFC 2047 §2
_WORD_LIMIT = 900  # an unbreakable word beyond this would near the 998 of a line
_QUOTED_LIMIT = 60  # a quoted-string is not folded here; encoded-words are
_ENCODED_WORD_OVERHEAD = len("=?utf-8?B??=")
_WORDS = re.compile(r" *[^ ]+")
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\- ]+")


def field(name: str, value: str) -> bytes:
    """An unstructured field such as Subject, its CRLF included.

    Raises ValueError where the value holds CR, LF or NUL, or half a surrogate pair.
    """
    refuse_breaks(name, value)
    if _is_plain(value):
        return _fold(name, _WORDS.findall(value))
    return _fold(name, _encoded_words(value, len(name) + 2))


def structured_field(name: str, value: str) -> bytes:
    """A field whose value is written as it stands: ASCII, folded at its spaces.

    Raises ValueError for anything an encoded-word would be needed for.
    """
    refuse_breaks(name, value)
    if not _is_plain(value):
        raise ValueError(f"{name}: must be printable ASCII in words of at most 900 characters")
    return _fold(name, _WORDS.findall(value))


def mailbox_field(name: str, display_name: str, address: str, *, smtputf8: bool = False) -> bytes:
    """A field with one mailbox: From, To or Reply-To (RFC 5322 §3.4). Raises ValueError."""
    refuse_breaks(name, display_name)
    on_wire = wire_address(address, smtputf8=smtputf8)
    if not display_name.strip():
        return _fold(name, [on_wire])
    return _fold(name, [*_phrase(display_name, len(name) + 2), f" <{on_wire}>"])


def refuse_breaks(name: str, value: str) -> None:
    """Raise ValueError where a value would end the header or the message."""
    if "\r" in value or "\n" in value or "\0" in value:
        raise ValueError(f"{name}: holds a line break or NUL")


def _phrase(text: str, used: int) -> list[str]:
    """A display name as words to fold: atoms, one quoted-string, or encoded-words."""
    if text.isascii() and text.isprintable() and "=?" not in text:
        if _PHRASE.fullmatch(text) and "  " not in text and text == text.strip():
            words: list[str] = _WORDS.findall(text)
            if max(map(len, words)) <= _QUOTED_LIMIT:
                return words
        quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        if len(quoted) <= _QUOTED_LIMIT:
            return [quoted]
    return _encoded_words(text, used)


def _is_plain(value: str) -> bool:
    """Whether a value survives as it stands: printable ASCII, no word that looks encoded."""
    if not (value.isascii() and value.isprintable()) or "=?" in value or value != value.strip():
        return False
    return len(value) <= _WORD_LIMIT or max(map(len, _WORDS.findall(value))) <= _WORD_LIMIT


def _encoded_words(text: str, used: int) -> list[str]:
    """Base64 encoded-words, each whole characters only and short enough for its line."""
    whole = text.encode()
    if len(whole) <= _room(used):
        return [_encoded_word(whole)]
    words: list[str] = []
    octets, room = b"", _room(used)
    for character in text:
        encoded = character.encode()
        if len(octets) + len(encoded) > room:
            words.append(_encoded_word(octets))
            octets, room = b"", _room(1)
        octets += encoded
    words.append(_encoded_word(octets))
    return [words[0], *(" " + word for word in words[1:])]


def _room(used: int) -> int:
    """How many octets fit in an encoded-word on a line of which `used` are taken."""
    return (_ENCODED_LINE - used - _ENCODED_WORD_OVERHEAD) // 4 * 3


def _encoded_word(octets: bytes) -> str:
    return f"=?utf-8?B?{b64encode(octets).decode('ascii')}?="


def _fold(name: str, words: list[str]) -> bytes:
    """Join words, each with the spaces before it, breaking the line before a word too many."""
    lines, line = [], f"{name}: {words[0] if words else ''}"
    # A phrase of encoded-words may have an address behind it: that counts for their line, too.
    limit = _ENCODED_LINE if words and words[0].startswith("=?") else _PREFERRED
    for word in words[1:]:
        if len(line) + len(word) > limit:
            lines.append(line)
            line = word
        else:
            line += word
    lines.append(line)
    return "\r\n".join(lines).encode() + b"\r\n"
