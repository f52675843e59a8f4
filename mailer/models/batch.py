"""A range of a run's deliveries that one worker sends under a lease."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from mailer.states import BatchState

from .domain_limit import DomainLimit
from .relay import Relay
from .run import Run


class Batch(models.Model):
    run = models.ForeignKey(Run, models.CASCADE, related_name="batches", verbose_name=_("run"))
    relay = models.ForeignKey(Relay, models.PROTECT, related_name="+", verbose_name=_("relay"))
    # All its recipients are at this provider, which takes only so much a minute.
    domain_limit = models.ForeignKey(
        DomainLimit, models.SET_NULL, null=True, verbose_name=_("provider")
    )
    first_seq = models.PositiveBigIntegerField(_("from"))
    last_seq = models.PositiveBigIntegerField(_("to"))
    # Exclusive: everything below it may have left. Moved on *before* a window is sent, and back
    # when the batch is closed, by what of that was never tried.
    mark = models.PositiveBigIntegerField(_("mark"))
    state = models.CharField(
        _("state"), max_length=8, choices=BatchState.choices, default=BatchState.READY
    )
    token = models.UUIDField(null=True)
    lease_until = models.DateTimeField(_("lease until"), null=True)
    worker = models.CharField(_("worker"), max_length=255, blank=True)
    # The task that was last rung for it, and so its stored result.
    task_id = models.CharField(_("task"), max_length=64, blank=True)
    rung_at = models.DateTimeField(_("rung"), null=True)
    # Not rung before this, for mail that has to wait for something other than its relay.
    not_before = models.DateTimeField(_("not before"), null=True)
    created_at = models.DateTimeField(_("created"))
    # When a worker took it up, the last time.
    claimed_at = models.DateTimeField(_("taken up"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        verbose_name = _("batch")
        verbose_name_plural = _("batches")
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(first_seq__lte=F("mark")) & Q(mark__lte=F("last_seq") + 1),
                name="batch_mark_in_range",
            ),
            models.CheckConstraint(
                condition=Q(state="sending", token__isnull=False, lease_until__isnull=False)
                | (~Q(state="sending") & Q(token__isnull=True, lease_until__isnull=True)),
                name="batch_lease_while_sending",
            ),
        ]
        indexes = [
            # The tick and the ringing: what is ready, what is being sent?
            models.Index(
                fields=["state", "run", "id"],
                condition=~Q(state="done"),
                name="batch_not_done",
            ),
            # A task result's page: which batch did it send?
            models.Index(fields=["task_id"], name="batch_task"),
        ]

    def __str__(self) -> str:
        return str(_("Batch %(batch)s of run %(run)s") % {"batch": self.pk, "run": self.run_id})

    @property
    def size(self) -> int:
        """How many deliveries it began with."""
        return self.last_seq - self.first_seq + 1
