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
    class Weight(models.IntegerChoices):
        LESS = 1, _("less than others")
        EQUAL = 4, _("as much as others")
        MORE = 16, _("more than others")

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

    name = models.CharField(
        _("name"),
        max_length=120,
        unique=True,
        validators=[validate_name],
        help_text=_("What its runs are called; some mail programs show it, too."),
    )
    message = models.ForeignKey(
        Message,
        models.PROTECT,
        verbose_name=_("message"),
        help_text=_("Each run sends it as it is when the run begins."),
    )
    lists = models.ManyToManyField(
        MailingList,
        verbose_name=_("lists"),
        help_text=_("Somebody on several of them still gets one message."),
    )
    relay = models.ForeignKey(
        Relay,
        models.PROTECT,
        verbose_name=_("relay"),
        help_text=_("The mail server it leaves through."),
    )
    relay_share = models.PositiveSmallIntegerField(
        _("its share"),
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text=_("Counts only with further relays: with shares of 2 and 1 it gets two thirds."),
    )
    weight = models.PositiveSmallIntegerField(
        _("beside other runs"),
        choices=Weight.choices,
        default=Weight.EQUAL,
        help_text=_(
            "While several runs send through one relay: each step up gets four times as much of it."
        ),
    )
    urgent = models.BooleanField(
        _("urgent"),
        default=False,
        help_text=_("Goes before all mail that is not urgent: for what cannot wait."),
    )
    # Of one message, for services.send_one: no lists, no schedule.
    is_single = models.BooleanField(default=False, editable=False)
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
        _("time zone"),
        max_length=64,
        default="UTC",
        validators=[validate_time_zone],
        help_text=_("Whose clock the times are of, such as Asia/Taipei; it follows summer time."),
    )
    schedule_end = models.DateTimeField(
        _("stop after"), null=True, blank=True, help_text=_("Empty: goes on until switched off.")
    )
    # No slot before it: a change of the schedule never sends for the past.
    schedule_changed_at = models.DateTimeField(default=timezone.now, editable=False)
    # The first slot nobody has decided on; the tick's question.
    next_due_at = models.DateTimeField(_("next send"), null=True, editable=False)

    missed = models.CharField(
        _("if one is missed"),
        max_length=8,
        choices=Missed.choices,
        default=Missed.LATE,
        help_text=_("Its time came while this site was not running."),
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
        help_text=_("Its time comes again before everybody in the last run was tried once."),
    )
    expires_after_hours = models.PositiveIntegerField(
        _("give up after hours"),
        default=96,
        validators=[MinValueValidator(1), MaxValueValidator(120)],
        help_text=_("What the relay has not taken by then is given up (4 days are usual)."),
    )
    breaker_percent = models.FloatField(
        _("pause when so many percent are refused"),
        default=5,
        null=True,
        blank=True,
        validators=[MinValueValidator(0.1), MaxValueValidator(100)],
        help_text=_("The run then waits for somebody to look at it. Empty: never."),
    )
    breaker_after = models.PositiveIntegerField(
        _("but not before so many were tried"),
        default=200,
        validators=[MinValueValidator(1)],
        help_text=_("A tenth of it is enough when the replies are about policy or reputation."),
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
        constraints = [
            models.UniqueConstraint(
                fields=["message"],
                condition=models.Q(is_single=True),
                name="one_single_mailing_per_message",
            )
        ]
        indexes = [
            # The tick: which mailings are due?
            models.Index(fields=["next_due_at"], name="mailing_next_due"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def expires_after(self) -> timedelta:
        return timedelta(hours=self.expires_after_hours)


class MailingRelay(models.Model):
    """A further relay of a mailing; each message goes through exactly one."""

    mailing = models.ForeignKey(Mailing, models.CASCADE, related_name="further_relays")
    relay = models.ForeignKey(Relay, models.PROTECT, related_name="+", verbose_name=_("relay"))
    share = models.PositiveSmallIntegerField(
        _("share"),
        default=0,
        validators=[MaxValueValidator(100)],
        help_text=_("So many parts of all mail; 0: only while the others are paused."),
    )

    class Meta:
        verbose_name = _("further relay")
        verbose_name_plural = _("further relays")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["mailing", "relay"], name="one_share_per_relay")
        ]

    def __str__(self) -> str:
        return str(self.relay)
