"""How far an SMTP conversation about one recipient got, and how it ended."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

TEXT_LIMIT = 1000  # characters of a reply that are kept

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?=\s|$)")


class Stage(StrEnum):
    """The step a conversation ended at, in the order of RFC 5321 §3."""

    CONNECT = "connect"  # name look-up, TCP, greeting and EHLO
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"  # the text was being sent; the final dot was not begun, so nothing is accepted
    DOT = "dot"  # the final dot was begun: from here on only a reply can say "not accepted"


class Break(StrEnum):
    """Why a conversation ended without a reply that could be understood."""

    LOST = "lost"  # refused, reset, closed, or the name was not found
    TIMED_OUT = "timed out"
    GARBAGE = "garbage"  # something came, but not an SMTP reply that fits the command
    UNUSABLE = "unusable"  # the relay does not offer what the settings ask for


@dataclass(frozen=True, slots=True)
class Reply:
    """One SMTP reply: `code` 200–599, `enhanced_status` like "5.1.1" or "", printable `text`."""

    code: int
    enhanced_status: str
    text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """Where one conversation ended: with a `reply`, or with a `broken` line and its `detail`."""

    stage: Stage
    reply: Reply | None = None
    broken: Break | None = None
    detail: str = ""

    @property
    def ends_connection(self) -> bool:
        """Whether nothing more can be said on the connection."""
        return self.reply is None or self.reply.code == 421


def parse_reply(code: int, text: bytes) -> Reply:
    """Make a Reply of a code and the lines after it (RFC 5321 §4.2, RFC 2034 §4)."""
    words = printable(text.decode("utf-8", "replace"))
    enhanced = _ENHANCED.match(words)
    return Reply(code, enhanced.group(1) if enhanced else "", words)


def printable(text: str) -> str:
    """Fold white space, blank out what cannot be printed, cut to TEXT_LIMIT characters."""
    # The reply is another machine's text on its way to a page: cut before the costly part.
    if len(text) <= TEXT_LIMIT and text.isascii() and text.isprintable():
        return " ".join(text.split())
    shown = "".join(c if c.isprintable() else " " for c in text[: 4 * TEXT_LIMIT])
    return " ".join(shown.split())[:TEXT_LIMIT]
