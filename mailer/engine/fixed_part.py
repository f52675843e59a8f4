"""How much of a template everybody gets, whatever their values are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mailer.engine.template_check import split_template

_LINE_END = re.compile(r"\r\n|\r|\n")
_WORD = re.compile(r"\{%[-+]?\s*(\w+)")


@dataclass(slots=True)
class _Statement:
    """An {% if %} or {% for %}, or the template itself: the octets of each of its branches."""

    may_be_left_out: bool = False
    branches: list[int] = field(default_factory=lambda: [0])

    @property
    def shortest(self) -> int:
        return 0 if self.may_be_left_out else min(self.branches)


def fixed_octets(source: str) -> int:
    """The octets on the wire that a checked template gives anybody, at least: those of its text; of
    an {% if %} with an {% else %} the shortest branch, of other statements none."""
    begun = [_Statement()]
    for kind, piece, _line in split_template(source):
        if kind == "data":
            begun[-1].branches[-1] += _octets(piece)
        elif kind == "block" and (word := _WORD.match(piece)):
            match word[1]:
                case "if" | "for":
                    begun.append(_Statement(may_be_left_out=True))
                case "elif":
                    begun[-1].branches.append(0)
                case "else":
                    begun[-1].branches.append(0)
                    begun[-1].may_be_left_out = False
                case "endif" | "endfor":
                    inner = begun.pop()
                    begun[-1].branches[-1] += inner.shortest
    return begun[0].shortest


def _octets(text: str) -> int:
    """Encoded, lines by CRLF; without the white space round it, which a tag may take away. No
    transfer encoding makes it less."""
    lines = _LINE_END.split(text.strip())
    return sum(len(line.encode()) for line in lines) + 2 * (len(lines) - 1)
