"""The admin of bulk mail: one ModelAdmin a file, in the order in which data flows."""

from . import (
    audit,
    batch,
    delivery,
    domain_limit,
    mailing,
    mailing_list,
    message,
    message_version,
    recipient,
    registry,
    relay,
    role,
    run,
    subscription,
    suppression,
    user,
)

__all__ = [
    "audit",
    "batch",
    "delivery",
    "domain_limit",
    "mailing",
    "mailing_list",
    "message",
    "message_version",
    "recipient",
    "registry",
    "relay",
    "role",
    "run",
    "subscription",
    "suppression",
    "user",
]
