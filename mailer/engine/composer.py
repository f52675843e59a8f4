"""From a recipient's values to a transaction: render, build, address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from mailer.engine.addresses import AddressError, wire_address
from mailer.engine.frame import Frame, SigningError
from mailer.engine.render import Rendered, Renderer, TemplateProblem, Written
from mailer.engine.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send. `headers`: names from frame.RECIPIENT_HEADERS."""

    seq: int
    uuid: UUID
    address: str
    name: str = ""
    variables: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class CannotComposeError(Exception):
    """This one message cannot be written: a label to group by, and the reason in words."""

    def __init__(self, problem: str, reason: str) -> None:
        super().__init__(problem, reason)
        self.problem = problem
        self.reason = reason


class CannotSendFromHereError(Exception):
    """No message of the run can be sent, whoever it is for: a mistake of the site; says which."""


@dataclass(slots=True)
class Composed:
    """A rendered message; `transaction` is written once it is known for which connection."""

    message: Outgoing
    written: Written
    envelope_sender: str
    transaction: Transaction | None = None


class Composer:
    """Writes the messages of one run. Threads may share it.

    `envelope_sender` gives the MAIL FROM address of a message, "" for the null sender.
    """

    def __init__(
        self,
        frame: Frame,
        renderer: Renderer,
        *,
        envelope_sender: Callable[[Outgoing], str],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.clock = clock
        self._frame = frame
        self._renderer = renderer
        self._envelope_sender = envelope_sender

    def compose(self, message: Outgoing) -> Composed:
        """Render. Raises CannotComposeError, CannotSendFromHereError."""
        try:
            written = self._renderer.write(message.variables)
        except TemplateProblem as error:
            raise CannotComposeError(f"template: {error.reason}", str(error)) from error
        envelope_sender = self._envelope_sender(message)
        try:
            return Composed(message, written, envelope_sender and wire_address(envelope_sender))
        except AddressError as error:
            raise CannotSendFromHereError(f"the envelope sender is not valid ({error})") from error

    def build(
        self, composed: Composed, *, eight_bit: bool, smtputf8: bool, largest: int = 0
    ) -> None:
        """Write the transaction for a relay with these extensions, which takes messages of
        `largest` octets; 0: no limit.

        Raises CannotComposeError, CannotSendFromHereError.
        """
        message = composed.message
        write = partial(
            self._frame.build,
            to_address=message.address,
            uuid=message.uuid,
            date=self.clock(),
            eight_bit=eight_bit,
            smtputf8=smtputf8,
        )
        try:
            recipient = wire_address(message.address, smtputf8=smtputf8)
            data = write(composed.written, to_name=message.name, headers=message.headers)
            if largest and len(data) > largest:
                empty = write(Rendered("", "", "").written(), to_name="")
                fixed = len(empty) + self._renderer.fixed_octets()
                raise _too_large(len(data), fixed, largest)
            composed.transaction = Transaction(composed.envelope_sender, recipient, data)
        except AddressError as error:
            raise CannotComposeError(f"address: {error}", str(error)) from error
        except ValueError as error:
            raise CannotComposeError(f"message: {error}", str(error)) from error
        except SigningError as error:
            raise CannotSendFromHereError(f"signing failed ({error})") from error


def _too_large(
    octets: int, fixed: int, largest: int
) -> CannotComposeError | CannotSendFromHereError:
    """Whose fault it is: `fixed` octets are in every message."""
    if fixed > largest:
        return CannotSendFromHereError(
            f"every message has at least {fixed:,} octets, and the relay takes {largest:,}: have"
            " its limit raised, or send smaller files"
        )
    return CannotComposeError(
        "message: larger than the relay takes",
        f"The message has {octets:,} octets; the relay takes {largest:,}.",
    )
