"""One message to one recipient: the row that says what became of it."""

from uuid import UUID

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from mailer.states import DeliveryState

from .recipient import Recipient
from .run import Run


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def with_uuid(self, uuid: UUID) -> "DeliveryQuerySet":
        """The delivery with this uuid, found by the index on (recipient, run) or on the few uuids
        of those without a recipient.
        """
        run, recipient = int.from_bytes(uuid.bytes[:5]), int.from_bytes(uuid.bytes[5:10])
        return self.filter(
            Q(recipient=recipient, run=run, uuid=uuid) | Q(recipient__isnull=True, uuid=uuid)
        )


class Delivery(models.Model):
    # (run, seq) is the index a window reads by; a second one on run alone would cost every insert.
    # So would constraints on what it points to (twice the time for a million): only an expansion
    # makes rows, from recipients that nobody can delete meanwhile (models.recipient), in a run that
    # it has locked.
    run = models.ForeignKey(
        Run,
        models.CASCADE,
        related_name="deliveries",
        db_index=False,
        db_constraint=False,
        verbose_name=_("run"),
    )
    seq = models.PositiveBigIntegerField()
    # Gives the Message-ID: the same on each attempt. An index of its own would cost every insert;
    # so it begins with what an index has: 5 bytes of the run's key, 5 of the recipient's. The other
    # 6 are random: a run restored from a backup must not repeat an earlier one's Message-IDs.
    uuid = models.UUIDField(_("id in the message"))
    recipient = models.ForeignKey(
        Recipient,
        models.SET_NULL,
        null=True,
        related_name="deliveries",
        db_index=False,
        db_constraint=False,
        verbose_name=_("recipient"),
    )
    address = models.CharField(_("address"), max_length=254)
    address_key = models.BinaryField(max_length=32)
    domain = models.CharField(_("domain"), max_length=253)
    variables = models.JSONField(_("filled in"), default=dict)
    state = models.CharField(
        _("state"), max_length=9, choices=DeliveryState.choices, default=DeliveryState.PENDING
    )
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    retry_at = models.DateTimeField(_("next try"), null=True)
    code = models.PositiveSmallIntegerField(_("reply code"), null=True)
    enhanced_status = models.CharField(_("enhanced status"), max_length=12, blank=True)
    reply = models.TextField(_("reply"), blank=True)
    settled_at = models.DateTimeField(_("last outcome"), null=True)
    # Why it did not (yet) arrive, as one groups it: "550 5.1.1". Never set by a plain 250.
    problem = models.CharField(_("why"), max_length=64, null=True)  # noqa: DJ001

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["-id"]
        permissions = [("export_delivery", _("Can export deliveries"))]
        constraints = [
            models.UniqueConstraint(fields=["run", "seq"], name="one_delivery_per_run_and_seq"),
            # And so one per address: recipients differ in it. An index that begins with the address
            # itself is filled at random, a third of an expansion.
            models.UniqueConstraint(
                fields=["recipient", "run"], name="one_delivery_per_recipient_and_run"
            ),
            models.CheckConstraint(
                condition=Q(state="deferred", retry_at__isnull=False)
                | (~Q(state="deferred") & Q(retry_at__isnull=True)),
                name="deferred_has_a_retry_time",
            ),
        ]
        # None on a column that a plain 250 changes: that would end HOT updates (+25 %).
        indexes = [
            # The run page: failures grouped by reply; retry of one group.
            models.Index(
                fields=["run", "problem"],
                condition=Q(problem__isnull=False),
                name="delivery_problem",
            ),
            # The tick: which deferred mail is due?
            models.Index(
                fields=["retry_at"],
                condition=Q(retry_at__isnull=False),
                name="delivery_retry",
            ),
            # Searches for those that no recipient leads to: single messages, and who was deleted.
            # With the recipient, which is always NULL: or SQLite takes the index on recipients.
            models.Index(
                fields=["address_key", "recipient"],
                condition=Q(recipient__isnull=True),
                name="delivery_of_nobody_by_address",
            ),
            models.Index(
                fields=["uuid", "recipient"],
                condition=Q(recipient__isnull=True),
                name="delivery_of_nobody_by_uuid",
            ),
        ]

    def __str__(self) -> str:
        return self.address


class Attempt(models.Model):
    """An earlier outcome of a delivery that was tried again; the last one is in the delivery."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="earlier")
    number = models.PositiveSmallIntegerField(_("attempt"))
    state = models.CharField(_("became"), max_length=9, choices=DeliveryState.choices)
    code = models.PositiveSmallIntegerField(_("reply code"), null=True)
    enhanced_status = models.CharField(_("enhanced status"), max_length=12, blank=True)
    reply = models.TextField(_("reply"), blank=True)
    at = models.DateTimeField(_("when"), null=True)

    class Meta:
        verbose_name = _("earlier attempt")
        verbose_name_plural = _("earlier attempts")
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.number}: {self.get_state_display()}"
