"""The admin of bulk mail: one ModelAdmin a file, in the order in which data flows."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

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
    run,
    subscription,
    suppression,
)

admin.site.site_header = _("Mailroom")
admin.site.site_title = _("Mailroom")
admin.site.index_title = _("Home")

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
    "run",
    "subscription",
    "suppression",
]
