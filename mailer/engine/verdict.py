"""What the end of a conversation means for the delivery, the address and the relay."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from mailer.engine.conversation import Break, Conversation, Reply, Stage
from mailer.engine.meanings import MAILBOX_FULL, meaning_of

__all__ = ["DISABLED", "POLICY", "Outcome", "Verdict", "judge", "meaning_of", "problem_label"]

Suppress = Literal["never", "now", "second time"]
RelayState = Literal["ok", "pause", "hold"]

# The address does not exist or never can (RFC 3463 §3.2; 5.1.10 is a null MX, RFC 7505).
_NO_SUCH_ADDRESS = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"})
#: The mailbox is disabled (RFC 3463 §3.3): perhaps for a while.
DISABLED = "5.2.1"
#: A refusal for reasons of security or policy begins like this (RFC 3463 §3.8).
POLICY = "5.7."
_FINAL_552 = ("5.3.4", POLICY)  # too big for the system, and policy
_BEFORE_MAIL = frozenset({Stage.CONNECT, Stage.TLS, Stage.AUTH})


class Outcome(StrEnum):
    """What one attempt made of a delivery."""

    SENT = "sent"  # the relay answered 2xx to the final dot; not proof of an inbox
    DEFERRED = "deferred"  # not accepted, worth another attempt
    FAILED = "failed"  # not accepted, and never will be
    UNCERTAIN = "uncertain"  # the final dot left and no reply came: asking beats sending twice
    UNTRIED = "untried"  # nothing was said about this recipient: pending again, not an attempt


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome; when to suppress the address; whether to pause the relay or hold the run."""

    outcome: Outcome
    suppress: Suppress = "never"
    relay: RelayState = "ok"


_SENT = Verdict(Outcome.SENT)
_FAILED = Verdict(Outcome.FAILED)
_DEFERRED = Verdict(Outcome.DEFERRED)
_DEFERRED_PAUSE = Verdict(Outcome.DEFERRED, relay="pause")
_UNTRIED_PAUSE = Verdict(Outcome.UNTRIED, relay="pause")
_UNTRIED_HOLD = Verdict(Outcome.UNTRIED, relay="hold")
_UNCERTAIN = Verdict(Outcome.UNCERTAIN)


def judge(conversation: Conversation) -> Verdict:
    """Map the end of a conversation to a verdict (mail rules §4). Pure; knows no history."""
    if conversation.reply is None:
        return _judge_break(conversation.stage)
    return _judge_reply(conversation.stage, conversation.reply)


def _judge_break(stage: Stage) -> Verdict:
    if stage is Stage.DOT:
        return _UNCERTAIN
    return _UNTRIED_PAUSE if stage in _BEFORE_MAIL else _DEFERRED


def _judge_reply(stage: Stage, reply: Reply) -> Verdict:  # noqa: PLR0911 (one a row)
    kind = reply.code // 100
    if stage is Stage.DOT and kind == 2:
        return _SENT  # 250 as a rule; a 252 has accepted the message too
    if kind not in (4, 5):
        return _judge_break(stage)
    if stage in {Stage.TLS, Stage.AUTH} or (stage is Stage.CONNECT and kind == 4):
        # Nothing was asked about anybody yet. A wrong password, too, is the relay's: every run
        # through it would meet the same.
        return _UNTRIED_PAUSE
    if reply.code == 421:
        return _DEFERRED_PAUSE  # the relay is closing, whatever it was asked
    match stage:
        case Stage.CONNECT | Stage.MAIL:
            return _DEFERRED_PAUSE if kind == 4 else _UNTRIED_HOLD
        case Stage.RCPT:
            return _judge_recipient(reply)
        case Stage.DATA | Stage.BODY | Stage.DOT:
            # About the content or a policy, so no address is suppressed for it.
            full = reply.enhanced_status in MAILBOX_FULL
            return _DEFERRED if kind == 4 or full else _FAILED


def _judge_recipient(reply: Reply) -> Verdict:
    if reply.code < 500 or reply.enhanced_status in MAILBOX_FULL:
        return _DEFERRED
    if reply.enhanced_status in _NO_SUCH_ADDRESS:
        return Verdict(Outcome.FAILED, suppress="now")
    if reply.enhanced_status == DISABLED:
        return Verdict(Outcome.FAILED, suppress="second time")
    if reply.code == 552 and not reply.enhanced_status.startswith(_FINAL_552):
        return _DEFERRED  # "too many recipients", to be read as 452 (RFC 5321 §4.5.3.1.10)
    return _FAILED  # a bare 550 may be policy: the address is not blamed


_PLACES = {
    Stage.CONNECT: "while connecting",
    Stage.TLS: "while securing the connection",
    Stage.AUTH: "while logging in",
    Stage.MAIL: "at MAIL FROM",
    Stage.RCPT: "at RCPT TO",
    Stage.DATA: "at DATA",
    Stage.BODY: "within the message",
    Stage.DOT: "after the final dot",
}
_BREAKS = {
    Break.LOST: "connection lost",
    Break.TIMED_OUT: "no reply in time",
    Break.GARBAGE: "unreadable reply",
    Break.UNUSABLE: "relay not usable",
}


def problem_label(conversation: Conversation) -> str:
    """A short label to group by: "550 5.1.1", "451", "connection lost after the final dot"."""
    if conversation.reply is not None:
        return f"{conversation.reply.code} {conversation.reply.enhanced_status}".strip()
    broken = conversation.broken or Break.LOST
    return f"{_BREAKS[broken]} {_PLACES[conversation.stage]}"
