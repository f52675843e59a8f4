"""One time that a mailing went out: its slot, its frozen content, its counts."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from mailer.states import RunState

from .audience import MailingList
from .mailing import Mailing
from .message import MessageVersion
from .relay import Relay

#: A run counts its deliveries by state in columns of these names.
COUNTERS = ("pending", "sent", "deferred", "failed", "uncertain", "skipped", "cancelled")


class Run(models.Model):
    class Trigger(models.TextChoices):
        SCHEDULE = "schedule", _("Schedule")
        STAFF = "staff", _("Send now")
        COMMAND = "command", _("Command line")
        SINGLE = "single", _("The site itself")  # services.send_one: one message to one address

    mailing = models.ForeignKey(
        Mailing, models.PROTECT, related_name="runs", verbose_name=_("mailing")
    )
    slot = models.DateTimeField(
        _("slot"), help_text=_("The moment it was meant for; one run for each.")
    )
    trigger = models.CharField(_("started by"), max_length=8, choices=Trigger.choices)
    state = models.CharField(
        _("state"), max_length=10, choices=RunState.choices, default=RunState.SCHEDULED
    )
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    slots_missed = models.PositiveIntegerField(
        _("earlier slots missed"),
        default=0,
        help_text=_("Slots that passed before this one while nothing could be sent."),
    )

    # Frozen when the run is prepared: later edits change the next run, never this one.
    message_version = models.ForeignKey(
        MessageVersion, models.PROTECT, null=True, related_name="+", verbose_name=_("message")
    )
    relay = models.ForeignKey(
        Relay, models.PROTECT, null=True, related_name="+", verbose_name=_("relay")
    )
    # The relays and their shares: {"3": 2, "7": 1}; a share of 0 is for when the others are paused.
    shares = models.JSONField(default=dict)
    lists = models.ManyToManyField(MailingList, related_name="+", verbose_name=_("lists"))
    # Who was left out and why: {"suppressed": 21, "unsubscribed": 290}. They have no delivery.
    left_out = models.JSONField(_("left out"), default=dict)

    next_seq = models.PositiveBigIntegerField(default=1)
    total = models.PositiveIntegerField(_("recipients"), default=0)
    pending = models.PositiveIntegerField(_("to go"), default=0)
    sent = models.PositiveIntegerField(_("sent"), default=0)
    deferred = models.PositiveIntegerField(_("will retry"), default=0)
    failed = models.PositiveIntegerField(_("failed"), default=0)
    uncertain = models.PositiveIntegerField(_("uncertain"), default=0)
    skipped = models.PositiveIntegerField(_("left out since"), default=0)
    cancelled = models.PositiveIntegerField(_("cancelled"), default=0)

    # Since it was started, resumed or retried: what the circuit breaker looks at.
    tried = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    refused_by_policy = models.PositiveIntegerField(default=0)
    # Messages attempted, divided by the mailing's weight: the run that is least far is next.
    passed = models.FloatField(default=0)
    # Of services.send_one: the same key again gives the same run.
    idempotency_key = models.CharField(max_length=200, null=True)  # noqa: DJ001

    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("started by"),
    )
    created_at = models.DateTimeField(_("created"))
    started_at = models.DateTimeField(_("started"), null=True)
    first_pass_finished_at = models.DateTimeField(_("first pass finished"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    expires_at = models.DateTimeField(_("gives up"), null=True)
    # When a worker was last told to prepare it; the tick tells again if nothing came of it.
    rung_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        ordering = ["-id"]
        permissions = [
            ("control_run", _("Can pause, resume and cancel runs")),
            ("retry_run", _("Can retry failed deliveries")),
        ]
        constraints = [
            models.UniqueConstraint(fields=["mailing", "slot"], name="one_run_per_slot"),
            models.UniqueConstraint(
                fields=["mailing", "idempotency_key"], name="one_run_per_idempotency_key"
            ),
            models.CheckConstraint(
                condition=Q(
                    total=F("pending")
                    + F("sent")
                    + F("deferred")
                    + F("failed")
                    + F("uncertain")
                    + F("skipped")
                    + F("cancelled")
                ),
                name="run_counts_add_up",
            ),
        ]
        indexes = [
            # The tick: which runs are not final?
            models.Index(
                fields=["state"],
                condition=Q(state__in=["scheduled", "preparing", "sending", "paused"]),
                name="run_not_final",
            ),
            # The list of runs, which leaves out single messages however many there are.
            models.Index(fields=["-id"], condition=~Q(trigger="single"), name="run_of_mailings"),
        ]

    def __str__(self) -> str:
        return f"{self.mailing} · {_('run')} {self.pk}"

    @property
    def is_single(self) -> bool:
        """Whether it is one message that the site itself asked for."""
        return self.trigger == self.Trigger.SINGLE

    @property
    def by_state(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in COUNTERS}

    @property
    def settled(self) -> int:
        """Deliveries that are through: neither waiting, nor to be retried, nor cancelled."""
        return self.total - self.pending - self.deferred - self.cancelled
