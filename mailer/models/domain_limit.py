"""Providers that take only so much a minute, whatever relay it comes through."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from mailer.addresses import normalize_domain
from mailer.names import validate_name


class DomainLimit(models.Model):
    name = models.CharField(
        _("provider"),
        max_length=120,
        unique=True,
        validators=[validate_name],
        help_text=_("What a run says that it waits for."),
    )
    # As they stand behind the @ of an address in the database, sorted, one a line.
    domains = models.TextField(
        _("domains"), help_text=_("All that stand behind the @ in its addresses, one a line.")
    )
    per_minute = models.PositiveIntegerField(
        _("messages per minute"),
        validators=[MinValueValidator(1)],
        help_text=_(
            "At most so many to all these domains together, over all runs and relays. The"
            " provider's rules for senders say how many."
        ),
    )
    # What was sent lately: services.reserving reads and writes it.
    used = models.JSONField(default=dict, editable=False)
    # The limit is used up: none of its batches is rung before this.
    waits_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("limit for a provider")
        verbose_name_plural = _("limits for providers")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        domains = sorted(set(self._read_domains()))
        if not domains:
            raise ValidationError({"domains": _("Give at least one domain.")})
        for other in DomainLimit.objects.exclude(pk=self.pk):
            if both := set(domains) & set(other.domain_list):
                words = _("%(domain)s has a limit already: “%(other)s”.")
                values = {"domain": min(both), "other": other}
                raise ValidationError({"domains": words % values})
        self.domains = "\n".join(domains)

    @property
    def domain_list(self) -> list[str]:
        return self.domains.split()

    def _read_domains(self) -> Any:
        for line in self.domains.replace(",", " ").split():
            try:
                yield normalize_domain(line.removeprefix("@"))
            except ValueError:
                words = _("“%(domain)s” is no domain.") % {"domain": line}
                raise ValidationError({"domains": words}) from None
