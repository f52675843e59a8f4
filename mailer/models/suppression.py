"""Addresses that get no mail, whatever list they are on."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from mailer.addresses import hash_address, normalize_address


class Suppression(models.Model):
    class Reason(models.TextChoices):
        HARD_BOUNCE = "hard_bounce", _("Address is dead")
        COMPLAINT = "complaint", _("Complaint")
        UNSUBSCRIBED = "unsubscribed", _("Unsubscribed from everything")
        STAFF = "staff", _("By staff")

    # Matched by this alone: it stays when the person behind it is erased.
    address_key = models.BinaryField(max_length=32, unique=True, editable=False)
    address = models.CharField(
        _("e-mail address"),
        max_length=254,
        blank=True,
        help_text=_("It gets no mail any more, whatever list it is on or comes onto."),
    )
    reason = models.CharField(
        _("reason"), max_length=16, choices=Reason.choices, default=Reason.STAFF
    )
    detail = models.CharField(
        _("detail"),
        max_length=300,
        blank=True,
        help_text=_("What happened: “asked on 3 May”."),
    )
    created_at = models.DateTimeField(_("since"), auto_now_add=True)

    class Meta:
        verbose_name = _("suppression")
        verbose_name_plural = _("suppressions")
        ordering = ["-id"]
        indexes = [
            # The list of those with one reason.
            models.Index(fields=["reason", "id"], name="suppression_by_reason"),
        ]

    def __str__(self) -> str:
        return self.address or str(_("an erased address"))

    def clean(self) -> None:
        try:
            self.set_address(self.address)
        except ValueError as error:
            raise ValidationError({"address": str(error)}) from None
        if Suppression.objects.filter(address_key=self.address_key).exclude(pk=self.pk).exists():
            raise ValidationError({"address": _("This address is suppressed already.")})

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.address:
            self.set_address(self.address)
        super().save(*args, **kwargs)

    def set_address(self, address: str) -> None:
        """Set the address and its key. Raises ValueError when it is none."""
        normal = normalize_address(address)
        self.address = normal.address
        self.address_key = hash_address(normal, key=settings.ADDRESS_KEY)
