"""Templates that only print values: their text is made octets once, and values go in between.

Writing out 10 KB for each message, and looking for its line ends and long lines, costs several
times what its two or three values do. Whatever is out of the usual is left to render.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jinja2

from mailer.engine.bodies import LINE_LIMIT, Body
from mailer.engine.template_check import split_template

_MOST = 50  # values; beyond, and with {% … %}, a template is rendered as a whole
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Split:
    """A template as `values`, each {{ … }} as written, and the `texts` around them, one more."""

    texts: list[str]
    values: list[str]

    def with_values(self, values: Sequence[str]) -> str:
        return "".join(map("".join, zip(self.texts, [*values, ""], strict=True)))


def split_values(source: str) -> Split | None:
    """Split a checked template; None where it does more than print a few values."""
    if "{%" in source or "{#" in source:
        return None
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    try:
        values = [piece for kind, piece, _line in split_template(source) if kind == "output"]
    except jinja2.TemplateSyntaxError:
        return None
    # {{- and -}} take white space around them away.
    if len(values) > _MOST or any(value[2] in "-+" or value[-3] in "-+" for value in values):
        return None
    texts: list[str] = []
    for value in values:
        text, found, source = source.partition(value)
        if not found:
            return None
        texts.append(text)
    return Split(_with_crlf([*texts, source]), _with_crlf(values))


def _with_crlf(pieces: list[str]) -> list[str]:
    return [piece.replace("\n", "\r\n") for piece in pieces]  # as the whole is rendered


def make_stencil(subject: str, html: str | None, text: str | None) -> Stencil | None:
    """Of checked templates; None where one of them, or a missing one, needs more than values."""
    if text is None:
        return None
    first, second, third = (split_values(source) for source in (subject, html or "", text))
    if first is None or second is None or third is None:
        return None
    try:
        return Stencil(first, None if html is None else second, third)
    except UnicodeEncodeError:
        return None


class Stencil:
    """A message as octets with room for values.

    `plain` and `escaped` are templates that print the values alone, to be rendered as text and as
    HTML; fill() takes what they gave.
    """

    def __init__(self, subject: Split, html: Split | None, text: Split) -> None:
        """Raises UnicodeEncodeError for half a surrogate pair."""
        self._subject = subject
        self._html = None if html is None else BodyStencil(html)
        self._text = BodyStencil(text)
        self.plain = _SEPARATOR.join([*subject.values, *text.values])
        self.escaped = _SEPARATOR.join(html.values if html else [])

    def fill(self, plain: str, escaped: str) -> tuple[str, Body | None, Body] | None:
        """Subject, HTML and text; None where a value changes more than its own place."""
        first = len(self._subject.values)
        plains = _part(plain, first + self._text.values)
        escapeds = _part(escaped, self._html.values if self._html else 0)
        if plains is None or escapeds is None:
            return None
        text = self._text.fill(plains[first:])
        html = self._html.fill(escapeds) if self._html else None
        if text is None or (self._html and html is None):
            return None
        return self._subject.with_values(plains[:first]), html, text


class BodyStencil:
    """One part's texts as octets, with room for so many `values`."""

    def __init__(self, split: Split) -> None:
        """Raises UnicodeEncodeError for half a surrogate pair."""
        self.values = len(split.values)
        self._ends_in_value = bool(split.values) and not split.texts[-1]
        *texts, last = [text.encode() for text in split.texts]
        texts.append(last if last.endswith(b"\r\n") else last + b"\r\n")
        self._octets = [piece for text in texts for piece in (text, b"")][:-1]
        whole = b"".join(texts)
        self._is_ascii = whole.isascii()
        self._has_nul = b"\0" in whole
        self._longest = max(map(len, whole.split(b"\r\n")))

    def fill(self, values: Sequence[str]) -> Body | None:
        """The body with these values; None for values that change its lines."""
        octets = [value.encode() for value in values]
        printed = b"".join(octets)
        # No line can become longer than the longest with all values in it.
        if self._has_nul or self._longest + len(printed) > LINE_LIMIT or _breaks(printed):
            return None
        if self._ends_in_value and not values[-1]:
            return None  # the line end before it may be the last
        pieces = self._octets.copy()
        pieces[1::2] = octets
        return Body(pieces, self._is_ascii and printed.isascii(), fits=True)


def _breaks(octets: bytes) -> bool:
    return b"\n" in octets or b"\r" in octets or b"\0" in octets


def _part(printed: str, values: int) -> list[str] | None:
    parts = printed.split(_SEPARATOR) if values else []
    return parts if len(parts) == values else None  # one of them holds the separator
