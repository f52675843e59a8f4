"""Who did what to a run, in the transaction that did it; who took away what. Only ever added."""

from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from .run import Run


class Audit(models.Model):
    class Action(models.TextChoices):
        START = "start", _("started")
        PAUSE = "pause", _("paused")
        RESUME = "resume", _("resumed")
        CANCEL = "cancel", _("cancelled")
        CANCEL_SOME = "some", _("cancelled some of it")
        FINISH = "finish", _("finished")  # written down when a retry takes the run up again
        RETRY = "retry", _("retried")
        RESOLVE = "resolve", _("resolved")
        EXPORT = "export", _("exported")
        HOLD = "hold", _("held")
        BREAK = "break", _("paused by itself")  # too many refusals
        TAKE_OVER = "take_over", _("taken over after an interruption")

    # Empty: an export over all runs.
    run = models.ForeignKey(
        Run, models.CASCADE, related_name="audits", null=True, verbose_name=_("run")
    )
    action = models.CharField(_("what"), max_length=10, choices=Action.choices)
    # Empty: the system itself.
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("who"),
    )
    at = models.DateTimeField(_("when"))
    count = models.PositiveIntegerField(_("deliveries"), default=0)
    # How far the run was at that moment; empty for entries that are older than this field.
    sent = models.PositiveIntegerField(_("sent by then"), null=True)
    detail = models.CharField(_("detail"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.get_action_display()} · {self.run or _('all runs')}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self._state.adding and self.run_id and self.sent is None:
            self.sent = Run.objects.filter(pk=self.run_id).values_list("sent", flat=True).first()
        super().save(*args, **kwargs)
