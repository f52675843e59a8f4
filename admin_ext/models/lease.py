"""A row that one process holds at a time: whoever renews it in time keeps it."""

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class LeaseQuerySet(models.QuerySet["Lease"]):
    def take(self, name: str, *, holder: str, duration: timedelta) -> bool:
        """Take or renew; False while another holds it. One UPDATE by the database's clock."""
        free = Q(holder=holder) | Q(until__lt=Now())
        row = self.filter(free, name=name)
        if row.update(holder=holder, until=Now() + duration):
            return True
        if self.filter(name=name).exists():
            return False
        made = Lease(name=name, holder=holder, until=Now() + duration)
        # The very first time; of two at once, the unique name lets one in.
        self.bulk_create([made], ignore_conflicts=True)
        return self.filter(name=name, holder=holder, until__gt=Now()).exists()

    def release(self, name: str, *, holder: str) -> bool:
        """Let go, so that another need not wait. False when it was not ours any more."""
        return bool(self.filter(name=name, holder=holder).delete()[0])


class Lease(models.Model):
    name = models.CharField(_("name"), max_length=64, unique=True)
    holder = models.CharField(_("holder"), max_length=255)
    until = models.DateTimeField(_("until"))

    objects = LeaseQuerySet.as_manager()

    class Meta:
        verbose_name = _("lease")
        verbose_name_plural = _("leases")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"
