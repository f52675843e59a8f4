"""Small worlds for tests: each function saves one thing and whatever it needs."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

from mailer.models import (
    Consent,
    Mailing,
    MailingList,
    Message,
    Recipient,
    Relay,
    Run,
    Subscription,
)
from mailer.services.planning import prepare_run, start_now
from mailer.services.scheduling import apply_schedule
from mailer.services.writing import save_version
from mailer.states import SubscriptionState

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
_numbers = count(1)


def make_recipient(address: str = "", **fields: Any) -> Recipient:
    number = next(_numbers)
    fields.setdefault("name", f"Person {number}")
    return Recipient.objects.create(address=address or f"person{number}@a.example", **fields)


def make_list(name: str = "", *, recipients: int = 0) -> MailingList:
    number = next(_numbers)
    made = MailingList.objects.create(name=name or f"List {number}", slug=f"list-{number}")
    for _ in range(recipients):
        subscribe(make_recipient(), made)
    return made


def subscribe(
    recipient: Recipient,
    mailing_list: MailingList,
    state: SubscriptionState = SubscriptionState.SUBSCRIBED,
) -> Subscription:
    subscription = Subscription.objects.create(list=mailing_list, recipient=recipient, state=state)
    Consent.objects.create(
        subscription=subscription, state=state, source=Consent.Source.STAFF, recorded_at=NOW
    )
    return subscription


def make_message(name: str = "", **content: str) -> Message:
    message = Message.objects.create(name=name or f"Message {next(_numbers)}")
    save_version(
        message,
        {
            "subject": "Hello {{ name }}",
            "html": "<p>Hello {{ name }}</p>",
            "text": "Hello {{ name }}",
            "from_name": "News",
            "from_address": "news@sender.example",
            "reply_to": "",
        }
        | content,
        by=None,
    )
    return message


def make_relay(**fields: Any) -> Relay:
    fields.setdefault("name", f"Relay {next(_numbers)}")
    fields.setdefault("from_environment", True)
    return Relay.objects.create(**fields)


def make_mailing(
    *,
    recipients: int = 0,
    lists: list[MailingList] | None = None,
    now: datetime = NOW,
    **fields: Any,
) -> Mailing:
    fields.setdefault("name", f"Mailing {next(_numbers)}")
    fields.setdefault("message", make_message() if "message" not in fields else None)
    fields.setdefault("relay", make_relay() if "relay" not in fields else None)
    mailing = Mailing.objects.create(**fields)
    mailing.lists.set(lists if lists is not None else [make_list(recipients=recipients)])
    if mailing.enabled:
        apply_schedule(mailing, now=now)
    return mailing


def make_run(
    *, recipients: int = 3, mailing: Mailing | None = None, now: datetime = NOW, **fields: Any
) -> Run:
    """A run that is sending: prepared, nothing sent yet."""
    mailing = mailing or make_mailing(recipients=recipients, **fields)
    run = start_now(mailing, moment=now, trigger=Run.Trigger.COMMAND, by=None, now=now)
    prepared = prepare_run(run.pk, now=now)
    assert prepared is not None
    return prepared
