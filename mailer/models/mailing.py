"""What goes to whom, and when."""

from datetime import datetime, timedelta

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import PeriodicTask

from mailer.names import validate_name

from .audience import MailingList
from .message import Message
from .recipient import validate_time_zone
from .relay import Relay


class MailingQuerySet(models.QuerySet["Mailing"]):
    def due(self, *, now: datetime) -> "MailingQuerySet":
        """Enabled, and a slot has come that nobody has decided on yet."""
        return self.filter(enabled=True, next_due_at__lte=now)


class Mailing(models.Model):
    class Kind(models.TextChoices):
        MANUAL = "manual", _("Only when somebody presses “Send now”")
        ONCE = "once", _("Once")
        EVERY = "every", _("Every so many minutes, hours, days or weeks")
        WEEKLY = "weekly", _("On weekdays")
        MONTHLY = "monthly", _("On a day of the month")
        CRONTAB = "crontab", _("Crontab expression")

    class Missed(models.TextChoices):
        LATE = "late", _("Send late")
        SKIP = "skip", _("Leave it out")

    class Overlap(models.TextChoices):
        WAIT = "wait", _("Wait until it is through")
        SKIP = "skip", _("Leave the new one out")

    name = models.CharField(_("name"), max_length=120, unique=True, validators=[validate_name])
    message = models.ForeignKey(Message, models.PROTECT, verbose_name=_("message"))
    lists = models.ManyToManyField(
        MailingList,
        verbose_name=_("lists"),
        help_text=_("Somebody on several of them still gets one message."),
    )
    relay = models.ForeignKey(Relay, models.PROTECT, verbose_name=_("relay"))
    enabled = models.BooleanField(
        _("schedule is on"), default=False, help_text=_("Off: only “Send now” sends it.")
    )

    schedule_kind = models.CharField(
        _("when"), max_length=8, choices=Kind.choices, default=Kind.MANUAL
    )
    # As services.slots reads it; the form writes it from plain fields.
    schedule_expression = models.CharField(max_length=200, blank=True, editable=False)
    schedule_anchor = models.DateTimeField(
        _("starting"),
        default=timezone.now,
        help_text=_("Nothing is sent before this; it gives days, weeks and months their time."),
    )
    schedule_zone = models.CharField(
        _("time zone"), max_length=64, default="UTC", validators=[validate_time_zone]
    )
    schedule_end = models.DateTimeField(
        _("stop after"), null=True, blank=True, help_text=_("Empty: goes on until switched off.")
    )
    # No slot before it: a change of the schedule never sends for the past.
    schedule_changed_at = models.DateTimeField(default=timezone.now, editable=False)
    # The first slot nobody has decided on; the tick's question.
    next_due_at = models.DateTimeField(_("next send"), null=True, editable=False)

    missed = models.CharField(
        _("if one is missed"), max_length=8, choices=Missed.choices, default=Missed.LATE
    )
    late_minutes = models.PositiveIntegerField(
        _("but at most so many minutes late"),
        default=720,
        validators=[MaxValueValidator(43_200)],
        help_text=_("A send missed by more than this is left out. 720 minutes are 12 hours."),
    )
    overlap = models.CharField(
        _("if the last one is still going"),
        max_length=8,
        choices=Overlap.choices,
        default=Overlap.WAIT,
    )
    expires_after_hours = models.PositiveIntegerField(
        _("give up after hours"),
        default=96,
        validators=[MinValueValidator(1), MaxValueValidator(120)],
        help_text=_("What the relay has not taken by then is given up (4 days are usual)."),
    )
    # Fires the wake-up; the slot service decides what is due.
    periodic_task = models.OneToOneField(
        PeriodicTask, models.SET_NULL, null=True, editable=False, related_name="mailing"
    )
    created_at = models.DateTimeField(_("added"), auto_now_add=True)

    objects = MailingQuerySet.as_manager()

    class Meta:
        verbose_name = _("mailing")
        verbose_name_plural = _("mailings")
        ordering = ["name"]
        permissions = [("start_mailing", _("Can send a mailing now"))]
        indexes = [
            # The tick: which mailings are due?
            models.Index(fields=["next_due_at"], name="mailing_next_due"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def expires_after(self) -> timedelta:
        return timedelta(hours=self.expires_after_hours)
