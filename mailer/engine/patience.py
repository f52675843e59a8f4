"""How long to leave alone what was refused for now: the first wait, by the class of the reply.

RFC 5321 §4.5.4.1 asks for a variable strategy where the reason is known. Pure; knows no history.
"""

from __future__ import annotations

from mailer.engine.meanings import MAILBOX_FULL, sounds_like_greylisting

# Times the shortest wait. The default is for what a server calls a hiccup of its own, and for no
# reply at all.
ORDINARY = 1
# The default of RFC 6647 §5: whoever comes again after a minute, and within a day, is let in.
GREYLISTED = 1
# "Receiving mail too quickly" (450 4.2.1), "unusual rate" (421 4.7.0, 4.7.28: Google's list of
# replies, support.google.com/a/answer/3726730), "server busy" (451 4.7.500: Microsoft's): asking
# again soon adds to what it is about. RFC 5321 §3.8 has 421 for a server that is closing.
THROTTLED = 3
# Over quota (RFC 3463 §3.3, X.2.2): until somebody tidies up, every try costs both sides the same.
FULL = 12

_FULL_CODE, _FULL_SUBJECT = 452, "4.2."
_GREYLISTING = frozenset({(450, "4.7.1"), (451, "4.7.1")})
_TOO_QUICK = "4.2.1"
_POLICY_FOR_NOW = "4.7."


def patience_of(code: int | None, enhanced_status: str = "", text: str = "") -> int:
    """How many times the shortest wait comes before the second try; no reply, no code."""
    if code is None:
        return ORDINARY
    if sounds_like_greylisting(text) or (code, enhanced_status) in _GREYLISTING:
        return GREYLISTED
    if enhanced_status in MAILBOX_FULL:
        return FULL
    if code == _FULL_CODE and enhanced_status.startswith(_FULL_SUBJECT):
        return FULL
    if code == 421 or enhanced_status == _TOO_QUICK or enhanced_status.startswith(_POLICY_FOR_NOW):
        return THROTTLED
    return ORDINARY
