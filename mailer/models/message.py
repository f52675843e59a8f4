"""What is sent: a message, and every version it ever had."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from mailer.names import validate_name

from .recipient import validate_language


class Message(models.Model):
    name = models.CharField(
        _("name"),
        max_length=120,
        unique=True,
        validators=[validate_name],
        help_text=_("What mailings call it; recipients never see it."),
    )
    language = models.CharField(
        _("language"),
        max_length=35,
        default="en",
        validators=[validate_language],
        help_text=_("A code such as en or zh-Hant, to tell messages apart; it is not sent."),
    )
    created_at = models.DateTimeField(_("added"), auto_now_add=True)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def current(self) -> "MessageVersion | None":
        """The version that a run started now would send."""
        return self.versions.order_by("-number").first()


class MessageVersion(models.Model):
    """Content that never changes once it is saved, so that a run can point to it."""

    message = models.ForeignKey(Message, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(_("version"))
    subject = models.CharField(_("subject"), max_length=500)
    html = models.TextField(_("HTML"), blank=True)
    text = models.TextField(_("plain text"), blank=True)
    from_name = models.CharField(_("from: name"), max_length=200, blank=True)
    from_address = models.CharField(_("from: address"), max_length=254)
    reply_to = models.CharField(_("reply to"), max_length=254, blank=True)
    created_at = models.DateTimeField(_("saved"), auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        verbose_name = _("message version")
        verbose_name_plural = _("message versions")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["message", "number"], name="one_number_per_version")
        ]

    def __str__(self) -> str:
        return f"{self.message} v{self.number}"
