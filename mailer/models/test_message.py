"""One test of a message: to whom, and what became of it. Outside the ledger, never counted."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from .message import Message
from .relay import Relay


class TestMessage(models.Model):
    """The only place that holds a test's address: its task carries the id of this row."""

    __test__ = False  # a model, whatever pytest makes of its name

    class Outcome(models.TextChoices):
        WAITING = "", _("Waiting")  # a worker's death here: its task comes again
        SENT = "sent", _("Sent")  # the relay answered 250 after the dot; not proof of an inbox
        DEFERRED = "deferred", _("Refused for now")  # its task comes again, unless it gave up
        FAILED = "failed", _("Failed")  # nothing left; it may be run again by hand
        # Also while it is on its way, so that a worker's death leaves it here: it may have left,
        # and twice is worse than asking.
        UNCERTAIN = "uncertain", _("Uncertain")

    #: What may still be sent; the rest is over or on its way.
    UNSENT = (Outcome.WAITING, Outcome.DEFERRED, Outcome.FAILED)

    message = models.ForeignKey(
        Message, models.CASCADE, related_name="tests", verbose_name=_("message")
    )
    relay = models.ForeignKey(
        Relay, models.SET_NULL, null=True, related_name="+", verbose_name=_("through")
    )
    address = models.CharField(_("to"), max_length=254)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("asked for by"),
    )
    requested_at = models.DateTimeField(_("asked for"))
    # Chosen with the row: the worker may be done before a later write would come.
    task_id = models.CharField(_("task"), max_length=64, blank=True)
    outcome = models.CharField(_("outcome"), max_length=9, choices=Outcome.choices, blank=True)
    # What the relay said, or why it was not asked: it may repeat the address.
    reply = models.TextField(_("reply"), blank=True)

    class Meta:
        verbose_name = _("test message")
        verbose_name_plural = _("test messages")
        ordering = ["-id"]
        default_permissions = ()  # seen on its message's page, under the message's permissions

    def __str__(self) -> str:
        return str(_("Test %(test)s") % {"test": self.pk})
