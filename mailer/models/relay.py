"""The mail servers that mail leaves through."""

from datetime import datetime

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from mailer.credentials import decrypt, encrypt
from mailer.names import validate_name


class Relay(models.Model):
    class Security(models.TextChoices):
        NONE = "none", _("None (only inside a trusted network)")
        STARTTLS = "starttls", _("STARTTLS")
        TLS = "tls", _("TLS from the first byte")

    name = models.CharField(_("name"), max_length=120, unique=True, validators=[validate_name])
    from_environment = models.BooleanField(
        _("address from the environment"),
        default=False,
        help_text=_("Use RELAY_URL of this installation; host, port and login below are ignored."),
    )
    host = models.CharField(
        _("host"),
        max_length=253,
        blank=True,
        validators=[
            RegexValidator(
                r"^([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|[0-9A-Fa-f:]+)\Z",
                _("A host name or an IP address, such as smtp.example.org."),
            )
        ],
    )
    port = models.PositiveIntegerField(
        _("port"), default=587, validators=[MinValueValidator(1), MaxValueValidator(65_535)]
    )
    security = models.CharField(
        _("security"), max_length=8, choices=Security.choices, default=Security.STARTTLS
    )
    username = models.CharField(_("user name"), max_length=200, blank=True)
    password_encrypted = models.TextField(blank=True, editable=False)
    rate_per_second = models.FloatField(
        _("messages per second"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01)],
        help_text=_("At most so many, across all workers. Empty: as fast as the relay takes them."),
    )
    connections = models.PositiveSmallIntegerField(
        _("connections"),
        default=4,
        validators=[MinValueValidator(1)],
        # Batches at a time as well (services.claiming): no process has less than one connection.
        help_text=_(
            "Shared by all processes: each opens its part of them for its batch, one at least."
        ),
    )
    # Up to when the rate is spoken for: a window reserves its time by moving this on.
    reserved_until = models.DateTimeField(null=True, editable=False)
    paused_until = models.DateTimeField(_("paused until"), null=True, blank=True, editable=False)
    pause_reason = models.CharField(_("why paused"), max_length=300, blank=True, editable=False)
    failures_in_a_row = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        verbose_name = _("relay")
        verbose_name_plural = _("relays")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if not self.from_environment and not self.host:
            raise ValidationError({"host": _("Give a host, or take the address from RELAY_URL.")})

    def set_password(self, password: str) -> None:
        """Keep a password, encrypted; an empty one forgets it."""
        self.password_encrypted = encrypt(password, keys=settings.CREDENTIAL_KEYS)

    def get_password(self) -> str:
        """Raises ValueError when none of CREDENTIAL_KEYS opens it."""
        return decrypt(self.password_encrypted, keys=settings.CREDENTIAL_KEYS)

    def is_paused(self, *, now: datetime) -> bool:
        return self.paused_until is not None and self.paused_until > now
