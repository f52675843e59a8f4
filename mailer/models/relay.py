"""The mail servers that mail leaves through."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from mailer.credentials import decrypt, encrypt
from mailer.names import validate_name

FARTHEST_WARM_UP = timedelta(days=366)


def _limit(name: Any) -> models.PositiveIntegerField[int | None, int | None]:
    return models.PositiveIntegerField(
        name, null=True, blank=True, validators=[MinValueValidator(1)]
    )


class Relay(models.Model):
    class Kind(models.TextChoices):
        SMTP = "smtp", _("SMTP server")
        BACKEND = "backend", _("Django e-mail backend")

    class Security(models.TextChoices):
        NONE = "none", _("None (only inside a trusted network)")
        STARTTLS = "starttls", _("STARTTLS")
        TLS = "tls", _("TLS from the first byte")

    name = models.CharField(
        _("name"),
        max_length=120,
        unique=True,
        validators=[validate_name],
        help_text=_("What mailings and runs call it."),
    )
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices, default=Kind.SMTP)
    # One of MAILER_BACKENDS: what staff write here must never decide what Python imports.
    backend = models.CharField(_("backend"), max_length=200, blank=True)
    from_environment = models.BooleanField(
        _("address from the environment"),
        default=False,
        help_text=_(
            "As whoever runs this site has set it (RELAY_URL); what stands below is then not used."
        ),
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
        help_text=_("The server's name, as its owner gave it to you: smtp.example.org."),
    )
    port = models.PositiveIntegerField(
        _("port"),
        default=587,
        validators=[MinValueValidator(1), MaxValueValidator(65_535)],
        help_text=_("587 with STARTTLS; 465 with TLS from the first byte."),
    )
    security = models.CharField(
        _("security"),
        max_length=8,
        choices=Security.choices,
        default=Security.STARTTLS,
        help_text=_("Nothing is sent where the server does not offer it."),
    )
    username = models.CharField(
        _("user name"), max_length=200, blank=True, help_text=_("Empty: it asks for no login.")
    )
    password_encrypted = models.TextField(blank=True, editable=False)
    rate_per_second = models.FloatField(
        _("messages per second"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01), MaxValueValidator(100_000)],
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
    rate_per_minute = _limit(_("messages per minute"))
    rate_per_hour = _limit(_("messages per hour"))
    rate_per_day = _limit(_("messages per day"))
    warm_up_from = models.DateField(
        _("warm up from"),
        null=True,
        blank=True,
        help_text=_("The first day on which it sends. Empty: no warm-up."),
    )
    warm_up_first = models.PositiveIntegerField(
        _("messages on the first day"),
        default=50,
        validators=[MinValueValidator(1)],
    )
    warm_up_factor = models.FloatField(
        _("times as many each day"),
        default=1.5,
        validators=[MinValueValidator(1.01), MaxValueValidator(10)],
        help_text=_("1.5 is half as many again each day."),
    )
    warm_up_full = _limit(_("until so many a day"))
    # Up to when the messages a second are spoken for: a window reserves its time by moving it on.
    reserved_until = models.DateTimeField(null=True, editable=False)
    # What was sent lately, for the other limits: services.reserving reads and writes it.
    used = models.JSONField(default=dict, editable=False)
    # A limit is used up: no batch is rung before this. `waits_for` is the limit's name.
    waits_until = models.DateTimeField(null=True, editable=False)
    waits_for = models.CharField(max_length=8, blank=True, editable=False)
    paused_until = models.DateTimeField(_("paused until"), null=True, blank=True, editable=False)
    pause_reason = models.CharField(_("why paused"), max_length=300, blank=True, editable=False)
    failures_in_a_row = models.PositiveIntegerField(default=0, editable=False)
    # It has let us wait for an answer for long: until then it is not given the last process.
    slow_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("relay")
        verbose_name_plural = _("relays")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.kind == self.Kind.BACKEND:
            if self.backend not in settings.MAILER_BACKENDS:
                raise ValidationError({"backend": _("Choose a backend.")})
        elif not self.from_environment and not self.host:
            raise ValidationError({"host": _("Give a host, or take the address from RELAY_URL.")})
        if self.warm_up_from and self.warm_up_from > timezone.localdate() + FARTHEST_WARM_UP:
            raise ValidationError({"warm_up_from": _("Choose a day within a year from now.")})
        if self.warm_up_from and not self.warm_up_full:
            words = _("Say at how many messages a day it has warmed up.")
            raise ValidationError({"warm_up_full": words})

    def set_password(self, password: str) -> None:
        """Keep a password, encrypted; an empty one forgets it."""
        self.password_encrypted = encrypt(password, keys=settings.CREDENTIAL_KEYS)

    def get_password(self) -> str:
        """Raises ValueError when none of CREDENTIAL_KEYS opens it."""
        return decrypt(self.password_encrypted, keys=settings.CREDENTIAL_KEYS)

    def is_paused(self, *, now: datetime) -> bool:
        return self.paused_until is not None and self.paused_until > now

    def waits(self, *, now: datetime) -> bool:
        """Whether one of its limits is used up."""
        return self.waits_until is not None and self.waits_until > now

    @property
    def is_suspect(self) -> bool:
        """Whether it was in trouble and has said nothing about a recipient since."""
        return self.failures_in_a_row > 0

    def is_slow(self, *, now: datetime) -> bool:
        return self.slow_until is not None and self.slow_until > now

    @property
    def places(self) -> int:
        """Batches that may be sent at a time.

        Those that share a rate take turns: one sends, the next is ready, and each has half of the
        connections. After trouble a single one finds out whether it is over.
        """
        if self.is_suspect:
            return 1
        return min(self.connections, 2) if self.rate_per_second else self.connections
