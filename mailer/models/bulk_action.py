"""What staff asked for many deliveries of a run at once, done piece by piece."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from mailer.states import DeliveryState

from .audit import Audit
from .run import Run


class BulkActionQuerySet(models.QuerySet["BulkAction"]):
    def unfinished(self) -> "BulkActionQuerySet":
        return self.filter(finished_at__isnull=True)


class BulkAction(models.Model):
    """Every piece commits together with `cursor`: a worker that dies in one leaves it undone, and
    the tick has another go on there.
    """

    class Kind(models.TextChoices):
        RETRY = "retry", _("Sending again what failed")
        RESOLVE = "resolve", _("Resolving what is uncertain")
        CANCEL = "cancel", _("Cancelling what waits")

    run = models.ForeignKey(Run, models.CASCADE, related_name="bulk_actions")
    kind = models.CharField(max_length=7, choices=Kind.choices)
    # What uncertain deliveries shall be.
    to = models.CharField(max_length=9, choices=DeliveryState.choices, blank=True)
    # Which of the run's deliveries: of one reply group, those that the list of deliveries finds by
    # this query, or those with these keys. Of none of the three: all.
    problem = models.CharField(max_length=64, null=True)  # noqa: DJ001
    query = models.TextField(null=True)  # noqa: DJ001
    keys = models.JSONField(null=True)
    # The next seq to look at, and the first that came later than the question: what is sent again
    # lies there, and must not be met twice. Empty: whatever comes.
    cursor = models.PositiveBigIntegerField(default=0)
    end = models.PositiveBigIntegerField(null=True)
    done = models.PositiveIntegerField(default=0)
    # Who of them may not be sent to by now, {"suppressed": 10}.
    left_out = models.JSONField(default=dict)
    # As counted when it turned out to be more than one piece.
    expected = models.PositiveIntegerField(default=0)
    audit = models.OneToOneField(Audit, models.CASCADE)
    rung_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = BulkActionQuerySet.as_manager()

    class Meta:
        verbose_name = _("bulk action")
        verbose_name_plural = _("bulk actions")
        # Whoever acts has the permission of the action itself; this is no page.
        default_permissions = ()
        indexes = [
            models.Index(
                fields=["rung_at"],
                condition=Q(finished_at__isnull=True),
                name="bulk_action_unfinished",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} · {self.run}"
