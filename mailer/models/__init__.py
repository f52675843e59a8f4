"""The models, in the order in which data flows through them."""

from .recipient import Recipient

from .audience import Consent, MailingList, Subscription  # isort: skip
from .audit import Audit
from .batch import Batch
from .delivery import Attempt, Delivery
from .mailing import Mailing
from .message import Message, MessageVersion
from .relay import Relay
from .run import COUNTERS, Run
from .suppression import Suppression
from .test_message import TestMessage

__all__ = [
    "COUNTERS",
    "Attempt",
    "Audit",
    "Batch",
    "Consent",
    "Delivery",
    "Mailing",
    "MailingList",
    "Message",
    "MessageVersion",
    "Recipient",
    "Relay",
    "Run",
    "Subscription",
    "Suppression",
    "TestMessage",
]
