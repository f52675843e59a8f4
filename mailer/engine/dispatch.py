"""What the connections of one sender share: messages to take, outcomes, and whether to go on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mailer.engine.composer import Outgoing
from mailer.engine.conversation import Conversation, printable
from mailer.engine.ending import Ending, ending_of
from mailer.engine.verdict import Outcome, Suppress

_BREAKS_IN_A_ROW = 3  # then the relay is at fault, not the messages


@dataclass(frozen=True, slots=True)
class Result:
    """What one attempt came to; `outcome` is never UNTRIED (such a message has no result).

    `code` is None without a reply; `reply` ≤ 1000 printable characters; `problem` ≤ 64 to group
    by, "" when sent.
    """

    seq: int
    outcome: Outcome
    code: int | None
    enhanced_status: str
    reply: str
    problem: str
    suppress: Suppress
    at: datetime


@dataclass(frozen=True, slots=True)
class RelayTrouble:
    """Why sending stopped: pause the relay for a while, or hold the run until staff act."""

    kind: Literal["pause", "hold"]
    reason: str  # one sentence for staff, with host:port or the backend's name


class Dispatch:
    """Hands out messages and collects what became of them. Threads share it."""

    def __init__(self, relay: str, *, clock: Callable[[], datetime], suspect: bool = False) -> None:
        """`relay` is its name for staff. One that is `suspect` was in trouble before: the first
        break is enough, until something is said about a message."""
        self.trouble: RelayTrouble | None = None
        self._relay = relay
        self._clock = clock
        self._waiting: deque[Outgoing] = deque()
        self._results: list[Result] = []
        self._may_offer: Callable[[], bool] = lambda: True
        self._stopped = False
        self._breaks = 0
        self._suspect = suspect
        self._lock = threading.Lock()

    def load(
        self, messages: Sequence[Outgoing], results: list[Result], may_offer: Callable[[], bool]
    ) -> None:
        """Begin with another lot; `results` is where its outcomes go."""
        self._waiting = deque(messages)
        self._results = results
        self._may_offer = may_offer
        self._stopped = False

    def has_more(self) -> bool:
        return bool(self._waiting) and self.goes_on()

    def goes_on(self) -> bool:
        """Asked before anything of a message leaves."""
        return not self._stopped and self.trouble is None and self._may_offer()

    def stop(self) -> None:
        """Let nothing leave that has not begun to."""
        self._stopped = True

    def take(self) -> Outgoing | None:
        """The next message; None when there is none, or nothing more may leave."""
        if not self.goes_on():
            return None
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def put_back(self, message: Outgoing) -> None:
        """Nothing of it was accepted, and nothing was said about it: it may be sent again."""
        self._waiting.appendleft(message)

    def settle(
        self, message: Outgoing, conversation: Conversation, *, counted: bool = False
    ) -> None:
        """Note how a message's conversation ended, and what that says about the relay.

        `counted`: it ended with a break that another message has been settled with already.
        """
        self.conclude(message, ending_of(conversation), counted=counted)

    def conclude(self, message: Outgoing, ending: Ending, *, counted: bool = False) -> None:
        """As settle(), of a message that was handed over in whatever way."""
        if not counted:
            self._watch(ending)
        outcome = ending.verdict.outcome
        if outcome is Outcome.UNTRIED:
            self.put_back(message)
            return
        self._add(
            message,
            outcome,
            code=ending.code,
            enhanced_status=ending.enhanced_status,
            reply=printable(ending.text),
            problem="" if outcome is Outcome.SENT else ending.label,
            suppress=ending.verdict.suppress,
        )

    def refuse(self, message: Outgoing, problem: str, reason: str) -> None:
        """A message that never reached the relay because of what it is."""
        label, words = printable(problem)[:64], printable(reason)
        self._add(message, Outcome.FAILED, reply=words, problem=label)

    def doubt(self, message: Outgoing, error: BaseException) -> None:
        """A mistake of ours while its text was on the way: whether it arrived, nobody knows."""
        words = f"{type(error).__name__} while it was being sent"
        self._add(message, Outcome.UNCERTAIN, reply=words, problem="interrupted")

    def give_up(self, trouble: RelayTrouble) -> None:
        """Stop for the relay's sake, or the run's; the first reason is the one that counts."""
        with self._lock:
            self.trouble = self.trouble or trouble

    def _watch(self, ending: Ending) -> None:
        with self._lock:
            self._breaks = self._breaks + 1 if ending.broke else 0
            self._suspect = self._suspect and ending.broke
            breaks, suspect = self._breaks, self._suspect
        if ending.verdict.relay != "ok":
            reason = f"{self._relay}: {ending.label}: {printable(ending.text)[:200]}"
            self.give_up(RelayTrouble(ending.verdict.relay, reason))
        elif suspect:
            reason = f"{self._relay} broke off again: {ending.label}"
            self.give_up(RelayTrouble("pause", reason))
        elif breaks >= _BREAKS_IN_A_ROW:
            reason = f"{self._relay} broke off {breaks} messages in a row, last: {ending.label}"
            self.give_up(RelayTrouble("pause", reason))

    def _add(
        self,
        message: Outgoing,
        outcome: Outcome,
        *,
        code: int | None = None,
        enhanced_status: str = "",
        reply: str,
        problem: str,
        suppress: Suppress = "never",
    ) -> None:
        at = self._clock()
        self._results.append(
            Result(
                message.seq,
                outcome,
                code,
                enhanced_status,
                reply,
                problem,
                suppress=suppress,
                at=at,
            )
        )
