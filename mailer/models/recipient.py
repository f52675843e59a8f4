"""People who get mail. One row for each address, whatever lists it is on."""

from functools import cache
from typing import Any
from zoneinfo import available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailer.addresses import hash_address, normalize_address
from mailer.exceptions import NotPossible
from mailer.locks import Lock, wait_for
from mailer.names import validate_name
from mailer.states import SubscriptionState

#: The names of all time zones; asking reads some 600 files, which an import would do for each row.
time_zone_names = cache(available_timezones)


def validate_time_zone(value: str) -> None:
    if value not in time_zone_names():
        raise ValidationError(
            _("%(value)s is not a time zone such as Asia/Taipei."), params={"value": value}
        )


def validate_attributes(value: Any) -> None:
    if not isinstance(value, dict) or any(not isinstance(key, str) for key in value):
        raise ValidationError(_('Attributes are written as {"city": "Taipei", "plan": "gold"}.'))


validate_language = RegexValidator(
    r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z", _("A language is written as en or zh-Hant.")
)


class RecipientQuerySet(models.QuerySet["Recipient"]):
    @transaction.atomic
    def delete(self) -> tuple[int, dict[str, int]]:
        """Not while a run is being expanded: no constraint keeps its deliveries from pointing to
        somebody who is gone."""
        wait_for(Lock.EXPANDING)
        return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


class Recipient(models.Model):
    address = models.CharField(
        _("e-mail address"),
        max_length=254,
        unique=True,
        help_text=_("One recipient for each address, on as many lists as they like."),
    )
    address_key = models.BinaryField(max_length=32, unique=True, editable=False)
    domain = models.CharField(max_length=253, editable=False)
    name = models.CharField(
        _("name"),
        max_length=200,
        blank=True,
        validators=[validate_name],
        help_text=_("As a message addresses them: it fills in {{ name }}."),
    )
    language = models.CharField(
        _("language"),
        max_length=35,
        blank=True,
        validators=[validate_language],
        help_text=_("A code such as en or zh-Hant: it fills in {{ language }}, no more."),
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        validators=[validate_time_zone],
        help_text=_("Such as Asia/Taipei. It fills in {{ time_zone }}; mailings go by their own."),
    )
    attributes = models.JSONField(
        _("attributes"),
        default=dict,
        blank=True,
        validators=[validate_attributes],
        help_text=_(
            'What else messages may say of them: {"city": "Taipei"} fills in {{ city }}. An import'
            " writes every further column of its file here."
        ),
    )
    created_at = models.DateTimeField(_("added"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = RecipientQuerySet.as_manager()

    class Meta:
        verbose_name = _("recipient")
        verbose_name_plural = _("recipients")
        ordering = ["-id"]
        # Beside the one of migration 0010, by which services.searching finds parts of addresses.
        indexes = [
            # Searches for @example.com; how many a limit for a provider is about.
            models.Index(fields=["domain"], name="recipient_domain"),
        ]

    def __str__(self) -> str:
        return self.address

    def clean(self) -> None:
        # A field left blank is no mistake, and [] would pass for blank.
        self.attributes = self.attributes or {}
        validate_attributes(self.attributes)
        try:
            self.set_address(self.address)
        except ValueError as error:
            raise ValidationError({"address": str(error)}) from None
        key = self.address_key
        if Recipient.objects.filter(address_key=key).exclude(pk=self.pk).exists():
            raise ValidationError({"address": _("There is already a recipient with this address.")})
        if refusal := self._why_not_move():
            raise ValidationError({"address": refusal})

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises ValueError without an address, NotPossible when it may not be changed to this."""
        self.attributes = self.attributes or {}
        self.set_address(self.address)
        if refusal := self._why_not_move():
            raise NotPossible(refusal)
        super().save(*args, **kwargs)

    @transaction.atomic
    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """As a query set of them deletes."""
        wait_for(Lock.EXPANDING)
        return super().delete(*args, **kwargs)

    def is_moving(self) -> bool:
        """Whether saving gives a known recipient another address; other capitals are none."""
        there = Recipient.objects.filter(pk=self.pk)
        return self.pk is not None and there.exclude(address_key=self.address_key).exists()

    def unsubscribed_from(self) -> str:
        """The lists they have unsubscribed from, the first five in quotes; "" if there are none."""
        gone = self.subscriptions.filter(state=SubscriptionState.UNSUBSCRIBED)
        names = gone.order_by("list__name").values_list("list__name", flat=True)[:5]
        return ", ".join(f"“{name}”" for name in names)

    def _why_not_move(self) -> str:
        """Lists know people by their address: what it says must stay where it was said."""
        lists = self.unsubscribed_from() if self.is_moving() else ""
        if not lists:
            return ""
        return gettext(
            "They have unsubscribed from %(lists)s with the address they had. Another one would"
            " make that forgotten, and the next import would put them back on the list. Add the"
            " new address as a recipient of its own instead."
        ) % {"lists": lists}

    def set_address(self, address: str) -> None:
        """Set the address with its key and domain. Raises ValueError when it is none."""
        normal = normalize_address(address)
        self.address, self.domain = normal.address, normal.domain
        self.address_key = hash_address(normal, key=settings.ADDRESS_KEY)
