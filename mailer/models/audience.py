"""Lists, who is on them, and by what consent."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from mailer.names import validate_name
from mailer.states import SubscriptionState

from .recipient import Recipient


class MailingList(models.Model):
    name = models.CharField(
        _("name"),
        max_length=120,
        unique=True,
        validators=[validate_name],
        help_text=_("Some mail programs show it beside the list's mail: one that people know."),
    )
    slug = models.SlugField(
        _("short name"),
        max_length=63,
        unique=True,
        validators=[
            RegexValidator(
                r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z",
                _("Small letters, digits and hyphens, such as weekly-news."),
            )
        ],
        help_text=_(
            "Small letters, digits and hyphens. Mail programs sort the list's mail by it (List-Id),"
            " so let it be once something was sent."
        ),
    )
    description = models.TextField(
        _("description"),
        blank=True,
        help_text=_("What people on it agreed to get, for whoever chooses a list. Never sent."),
    )
    recipients = models.ManyToManyField(
        Recipient, through="Subscription", related_name="lists", verbose_name=_("recipients")
    )
    created_at = models.DateTimeField(_("added"), auto_now_add=True)

    class Meta:
        verbose_name = _("list")
        verbose_name_plural = _("lists")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    list = models.ForeignKey(
        MailingList, models.CASCADE, related_name="subscriptions", verbose_name=_("list")
    )
    recipient = models.ForeignKey(
        Recipient, models.CASCADE, related_name="subscriptions", verbose_name=_("recipient")
    )
    state = models.CharField(
        _("state"),
        max_length=12,
        choices=SubscriptionState.choices,
        default=SubscriptionState.SUBSCRIBED,
        help_text=_(
            "Only who is subscribed gets the list's mail. No import brings back who unsubscribed."
        ),
    )
    created_at = models.DateTimeField(_("added"), auto_now_add=True)
    changed_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        constraints = [
            # Also the index by which a window and an expansion ask who is still on the list.
            models.UniqueConstraint(
                fields=["list", "recipient"], name="one_subscription_per_list_and_recipient"
            )
        ]
        indexes = [
            # Those of a list by state, and how many. The state is not its first field: SQLite would
            # choose it to see what lists one person is on.
            models.Index(fields=["list", "state", "recipient"], name="subscription_of_list"),
        ]

    def __str__(self) -> str:
        return f"{self.recipient} · {self.list}"


class Consent(models.Model):
    """One change of a subscription, and what it rests on. Rows are only ever added."""

    class Source(models.TextChoices):
        IMPORT = "import", _("Import")
        STAFF = "staff", _("Staff")
        PERSON = "person", _("The person")

    subscription = models.ForeignKey(
        Subscription, models.CASCADE, related_name="consents", verbose_name=_("subscription")
    )
    state = models.CharField(_("became"), max_length=12, choices=SubscriptionState.choices)
    source = models.CharField(_("source"), max_length=12, choices=Source.choices)
    evidence = models.CharField(
        _("evidence"), max_length=300, blank=True, help_text=_("The file, or what somebody wrote.")
    )
    wording = models.CharField(
        _("wording version"), max_length=60, blank=True, help_text=_("What the person agreed to.")
    )
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("recorded by"),
    )
    recorded_at = models.DateTimeField(_("recorded"))

    class Meta:
        verbose_name = _("consent record")
        verbose_name_plural = _("consent records")
        ordering = ["recorded_at", "id"]

    def __str__(self) -> str:
        return f"{self.get_state_display()} · {self.get_source_display()}"
