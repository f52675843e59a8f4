"""A test message to one address: outside the ledger, never counted.

The address, and what the relay said of it, stay in the test's row: errors and results name its id.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.utils import timezone
from django.utils.translation import gettext as _

from admin_ext.conf import kept_for
from mailer.addresses import normalize_address
from mailer.engine.render import TemplateProblem, compile_content
from mailer.engine.sender import Composer, Outcome, Outgoing, Result, Sender
from mailer.exceptions import MailerError, NotPossible
from mailer.models import Message, Recipient, Relay, TestMessage

from .backend_sender import BackendSender
from .content import (
    content_of,
    make_frame,
    message_frame,
    open_backend,
    render_first,
    variables_of,
    variables_of_stranger,
)
from .relays import relay_address


class TryLaterError(MailerError):
    """The relay did not take a test message this time; it may later."""


def check_test(message: Message, address: str) -> str:
    """The normalised address to test with. Raises NotPossible."""
    if message.current is None:
        raise NotPossible(_("“%(message)s” has no content yet.") % {"message": message})
    try:
        return normalize_address(address).address
    except ValueError as error:
        raise NotPossible(str(error)) from None


def default_relay(message: Message) -> Relay | None:
    """The relay of the newest mailing with this message; else the first of all."""
    mailing = message.mailing_set.select_related("relay").order_by("-pk").first()
    return mailing.relay if mailing else Relay.objects.order_by("pk").first()


def request_test(
    message: Message,
    address: str,
    *,
    relay: Relay | None = None,
    by: AbstractBaseUser | None,
    now: datetime,
) -> TestMessage:
    """Write down that a test is wanted; its task has yet to be published. Raises NotPossible.

    Without a relay it leaves through the default one.
    """
    relay = relay or default_relay(message)
    if relay is None:
        raise NotPossible(_("There is no relay yet. Add one, then send the test."))
    return TestMessage.objects.create(
        message=message,
        relay=relay,
        address=check_test(message, address),
        requested_by_id=by.pk if by else None,
        requested_at=now,
        task_id=str(uuid.uuid4()),
    )


def send_test_message(test_id: int) -> dict[str, str]:
    """Send a test once, with the current version, and write down what became of it.

    Returns {"state"}, also of a test that is over already. Raises TryLaterError when another try
    may help, NotPossible when none will; an uncertain end is a result, not a reason to send twice.
    """
    test = TestMessage.objects.select_related("message", "relay").filter(pk=test_id).first()
    if test is None:
        words = _("Test %(test)s is not kept any more. Send another.")
        raise NotPossible(words % {"test": test_id})
    try:
        sender = _open_sender(test)
    except (NotPossible, ValueError) as problem:
        _move(test, TestMessage.UNSENT, to=TestMessage.Outcome.FAILED, reply=str(problem))
        raise
    outgoing = Outgoing(
        seq=1, uuid=uuid.uuid4(), address=test.address, variables=_variables_for(test.address)
    )
    if not _move(test, TestMessage.UNSENT, to=TestMessage.Outcome.UNCERTAIN):
        test.refresh_from_db(fields=["outcome"])
        return {"state": test.outcome}  # sent already, or another worker is at it
    results: list[Result] = []
    with sender:
        sender.send([outgoing], results, may_continue=lambda: True)
    return _conclude(test, sender, results[0] if results else None)


def purge_tests(*, now: datetime) -> int:
    """Forget tests as old as the oldest task results; how many."""
    return TestMessage.objects.filter(requested_at__lt=now - kept_for()).delete()[0]


def _open_sender(test: TestMessage) -> Sender | BackendSender:
    """Raises NotPossible, and ValueError when the relay's password cannot be read."""
    version, relay = test.message.current, test.relay
    if version is None:
        raise NotPossible(_("“%(message)s” has no content yet.") % {"message": test.message})
    if relay is None:
        raise NotPossible(_("Its relay was deleted. Send another test."))
    try:
        renderer = compile_content(content_of(version))
        render_first(version, _variables_for(test.address))
    except TemplateProblem as problem:
        raise NotPossible(str(problem)) from None
    if relay.kind == Relay.Kind.BACKEND:
        return open_backend(relay, version, message_frame(version), renderer)
    return Sender(
        relay_address(relay),
        Composer(
            make_frame(message_frame(version), version),
            renderer,
            envelope_sender=lambda _message: version.from_address,
            clock=timezone.now,
        ),
    )


def _variables_for(address: str) -> dict[str, object]:
    recipient = Recipient.objects.filter(address=address).first()
    return variables_of(recipient) if recipient else variables_of_stranger(address)


def _conclude(
    test: TestMessage, sender: Sender | BackendSender, result: Result | None
) -> dict[str, str]:
    """Write down the end of a try, and say whether another may help."""
    if result is None:
        hopeless = sender.trouble is not None and sender.trouble.kind == "hold"
        outcome = Outcome.FAILED if hopeless else Outcome.DEFERRED
        code, reply = "", sender.trouble.reason if sender.trouble else ""
    else:
        outcome = result.outcome
        code = f" ({result.code} {result.enhanced_status}".rstrip() + ")" if result.code else ""
        reply = result.reply
    on_its_way = (TestMessage.Outcome.UNCERTAIN,)
    _move(test, on_its_way, to=TestMessage.Outcome(outcome.value), reply=reply)
    if outcome in {Outcome.SENT, Outcome.UNCERTAIN}:
        return {"state": outcome.value}
    words = _("Test %(test)s was not sent%(code)s. Its message's page says why.") % {
        "test": test.pk,
        "code": code,
    }
    raise (TryLaterError if outcome is Outcome.DEFERRED else NotPossible)(words)


def _move(
    test: TestMessage,
    before: Sequence[TestMessage.Outcome],
    *,
    to: TestMessage.Outcome,
    reply: str = "",
) -> bool:
    """Compare and set; False when it is in another state by now."""
    row = TestMessage.objects.filter(pk=test.pk, outcome__in=before)
    return bool(row.update(outcome=to, reply=reply))
