"""Messages in, outcomes out: the one interface of the engine that sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, Self
from uuid import UUID

from mailer.engine.addresses import AddressError, wire_address
from mailer.engine.conversation import Break, Conversation, Stage, printable
from mailer.engine.frame import Frame
from mailer.engine.pace import Pace
from mailer.engine.relay import RelayAddress
from mailer.engine.render import Rendered, Renderer, TemplateProblem
from mailer.engine.smtp import Connection
from mailer.engine.verdict import Outcome, Suppress, Verdict, judge, problem_label

__all__ = ["Outcome", "Outgoing", "RelayTrouble", "Result", "Sender"]

_BREAKS_IN_A_ROW = 3  # then the relay is at fault, not the messages


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send. `headers`: names from frame.RECIPIENT_HEADERS."""

    seq: int
    uuid: UUID
    address: str
    name: str = ""
    variables: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """What one attempt came to; `outcome` is never UNTRIED (such a message is not yielded).

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
    reason: str  # one sentence for staff, with host:port


class Sender:
    """Sends messages over one kept connection, one at a time. For one thread.

    `envelope_sender` gives the MAIL FROM address of a message, "" for the null sender.
    """

    def __init__(
        self,
        relay: RelayAddress,
        frame: Frame,
        renderer: Renderer,
        *,
        envelope_sender: Callable[[Outgoing], str],
        pace: Pace | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.trouble: RelayTrouble | None = None
        self._relay = relay
        self._frame = frame
        self._renderer = renderer
        self._envelope_sender = envelope_sender
        self._pace = pace or Pace()
        self._clock = clock
        self._connection = Connection(relay)
        self._breaks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.quit()

    def send(
        self, messages: Sequence[Outgoing], *, may_continue: Callable[[], bool]
    ) -> Iterator[Result]:
        """Yield one Result for each message tried, in order.

        Stops early when `may_continue()`, asked before each message, says no, or when `trouble`
        is set: messages not yielded were not offered to the relay and may be sent again.
        """
        for message in messages:
            if self.trouble is not None or not may_continue():
                return
            result = self._send_one(message, may_continue)
            if result is None:
                return
            yield result

    def _send_one(self, message: Outgoing, may_continue: Callable[[], bool]) -> Result | None:
        """One message's Result, or None where it was not tried."""
        try:
            rendered = self._renderer.render(message.variables)
        except TemplateProblem as error:
            return self._refused(message, f"template: {error.reason}", str(error))
        envelope_sender = self._envelope_sender(message)
        try:
            envelope_sender = envelope_sender and wire_address(envelope_sender)
        except AddressError as error:
            reason = f"{self._relay} was not asked: the envelope sender is not valid ({error})"
            self.trouble = RelayTrouble("hold", reason)
            return None
        if not self._pace.wait(may_continue):
            return None
        try:
            conversation = self._converse(message, rendered, envelope_sender, may_continue)
        except AddressError as error:
            return self._refused(message, f"address: {error}", str(error))
        except ValueError as error:
            return self._refused(message, f"message: {error}", str(error))
        return None if conversation is None else self._settle(message, conversation)

    def _converse(
        self,
        message: Outgoing,
        rendered: Rendered,
        envelope_sender: str,
        may_continue: Callable[[], bool],
    ) -> Conversation | None:
        """Hand the message over, on the kept connection where it lives. None: told to stop."""
        if self._connection.is_alive():
            conversation = self._submit(message, rendered, envelope_sender)
            if not _found_dead(conversation):
                return conversation
        failure = self._connection.open()
        if failure is not None:
            return failure
        if not may_continue():  # connecting may have outlasted the lease
            return None
        return self._submit(message, rendered, envelope_sender)

    def _submit(self, message: Outgoing, rendered: Rendered, envelope_sender: str) -> Conversation:
        connection = self._connection
        recipient = wire_address(message.address, smtputf8=connection.smtputf8)
        data = self._frame.build(
            rendered,
            to_name=message.name,
            to_address=message.address,
            uuid=message.uuid,
            date=self._clock(),
            headers=message.headers,
            eight_bit=connection.eight_bit,
            smtputf8=connection.smtputf8,
        )
        return connection.submit(envelope_sender, recipient, data)

    def _settle(self, message: Outgoing, conversation: Conversation) -> Result | None:
        verdict = judge(conversation)
        self._watch(conversation, verdict)
        if verdict.outcome is Outcome.UNTRIED:
            return None
        reply = conversation.reply
        return Result(
            seq=message.seq,
            outcome=verdict.outcome,
            code=reply.code if reply else None,
            enhanced_status=reply.enhanced_status if reply else "",
            reply=reply.text if reply else printable(conversation.detail),
            problem="" if verdict.outcome is Outcome.SENT else problem_label(conversation),
            suppress=verdict.suppress,
            at=self._clock(),
        )

    def _watch(self, conversation: Conversation, verdict: Verdict) -> None:
        """Note what the end of a conversation says about the relay."""
        self._breaks = self._breaks + 1 if conversation.reply is None else 0
        label = problem_label(conversation)
        said = conversation.reply.text if conversation.reply else conversation.detail
        if verdict.relay != "ok":
            reason = f"{self._relay}: {label}: {printable(said)[:200]}"
            self.trouble = RelayTrouble(verdict.relay, reason)
        elif self._breaks >= _BREAKS_IN_A_ROW:
            reason = f"{self._relay} broke off {self._breaks} messages in a row, last: {label}"
            self.trouble = RelayTrouble("pause", reason)

    def _refused(self, message: Outgoing, problem: str, reason: str) -> Result:
        """A message that never reached the relay because of what it is."""
        return Result(
            seq=message.seq,
            outcome=Outcome.FAILED,
            code=None,
            enhanced_status="",
            reply=printable(reason),
            problem=printable(problem)[:64],
            suppress="never",
            at=self._clock(),
        )


def _found_dead(conversation: Conversation) -> bool:
    """Whether a kept connection had ended before anything of this message was accepted.

    Relays close idle connections, and others after so many messages, with a 421 or without.
    """
    if conversation.stage is not Stage.MAIL:
        return False
    reply = conversation.reply
    return reply.code == 421 if reply else conversation.broken is Break.LOST
