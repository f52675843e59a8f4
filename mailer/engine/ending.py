"""How handing over one message ended, whatever protocol it was handed over by."""

from __future__ import annotations

from dataclasses import dataclass

from mailer.engine.conversation import Conversation
from mailer.engine.verdict import Verdict, judge, problem_label


@dataclass(frozen=True, slots=True)
class Ending:
    """The verdict, a `label` to group by and the `text` of what was said or of what broke.

    `code` and `enhanced_status` are of an SMTP reply, None and "" without one. `broke`: nothing
    was said about the message that could be understood.
    """

    verdict: Verdict
    label: str
    text: str
    code: int | None = None
    enhanced_status: str = ""
    broke: bool = False


def ending_of(conversation: Conversation) -> Ending:
    """What the end of an SMTP conversation comes to."""
    verdict, label, reply = judge(conversation), problem_label(conversation), conversation.reply
    if reply is None:
        return Ending(verdict, label, conversation.detail, broke=True)
    return Ending(verdict, label, reply.text, reply.code, reply.enhanced_status)
