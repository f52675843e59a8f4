"""Who says that it lives: workers and schedulers, each with a row of its own."""

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from admin_ext.conf import stale_after


class ProcessKind(models.TextChoices):
    WORKER = "worker", _("Worker")
    BEAT = "beat", _("Scheduler")


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    def workers(self) -> "HeartbeatQuerySet":
        return self.filter(kind=ProcessKind.WORKER)

    def beats(self) -> "HeartbeatQuerySet":
        return self.filter(kind=ProcessKind.BEAT)

    def alive(self, now: datetime) -> "HeartbeatQuerySet":
        return self.filter(seen_at__gte=now - stale_after())


class Heartbeat(models.Model):
    kind = models.CharField(_("kind"), max_length=8, choices=ProcessKind.choices)
    name = models.CharField(_("name"), max_length=255)
    host = models.CharField(_("host"), max_length=255)
    pid = models.PositiveIntegerField(_("process id"))
    queues = models.JSONField(_("queues"), default=list)
    processes = models.PositiveIntegerField(_("processes"), default=0)
    # Of several schedulers one fires; the others wait for its lease to end.
    leader = models.BooleanField(_("leader"), default=False)
    # By its own clock, to be compared with the attempts of the same machine.
    started_at = models.DateTimeField(_("started"))
    # By the database's clock: machines disagree.
    seen_at = models.DateTimeField(_("last seen"))

    objects = HeartbeatQuerySet.as_manager()

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["kind", "name"], name="one_heartbeat_per_process"),
        ]

    def __str__(self) -> str:
        return self.name
