"""The models, in the order in which data flows through them."""

from .recipient import Recipient

from .audience import Consent, MailingList, Subscription  # isort: skip
from .audit import Audit
from .batch import Batch
from .bulk_action import BulkAction
from .delivery import Attempt, Delivery
from .domain_limit import DomainLimit
from .mailing import Mailing, MailingRelay
from .message import Message, MessageVersion
from .message_file import MessageFile, StoredFile
from .relay import Relay
from .run import COUNTERS, Run
from .suppression import Suppression
from .test_message import TestMessage

__all__ = [
    "COUNTERS",
    "Attempt",
    "Audit",
    "Batch",
    "BulkAction",
    "Consent",
    "Delivery",
    "DomainLimit",
    "Mailing",
    "MailingList",
    "MailingRelay",
    "Message",
    "MessageFile",
    "MessageVersion",
    "Recipient",
    "Relay",
    "Run",
    "StoredFile",
    "Subscription",
    "Suppression",
    "TestMessage",
]
