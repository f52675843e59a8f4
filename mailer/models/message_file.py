"""Files that go with a message, and their contents: kept here, because workers share no disk."""

from django.db import models
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils.translation import gettext_lazy as _

from .message import Message, MessageVersion


class StoredFile(models.Model):
    """Octets under their SHA-256: kept once, whoever has them, and never changed."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    octets = models.BinaryField()

    class Meta:
        default_permissions = ()  # seen through the messages that have it

    def __str__(self) -> str:
        return self.sha256


class MessageFileQuerySet(QuerySet["MessageFile"]):
    def current(self) -> "MessageFileQuerySet":
        """Files that a run started now would send."""
        newest = MessageVersion.objects.filter(message=OuterRef("message")).order_by("-number")
        return self.filter(versions=Subquery(newest.values("pk")[:1]))


class MessageFile(models.Model):
    """A file under its name. Versions share it, so it never changes: a new name is a new row."""

    class Kind(models.TextChoices):
        ATTACHMENT = "attachment", _("Attachment")
        INLINE = "inline", _("Inline image")

    message = models.ForeignKey(Message, models.CASCADE, related_name="files")
    versions = models.ManyToManyField(MessageVersion, related_name="files")
    stored = models.ForeignKey(StoredFile, models.PROTECT, related_name="files")
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices, default=Kind.ATTACHMENT)
    name = models.CharField(_("name"), max_length=150)
    content_type = models.CharField(_("type"), max_length=100)
    size = models.PositiveIntegerField(_("size"))  # octets
    image_name = models.CharField(_("name in the HTML"), max_length=40, blank=True)

    objects = MessageFileQuerySet.as_manager()

    class Meta:
        verbose_name = _("file")
        verbose_name_plural = _("files")
        ordering = ["pk"]
        default_permissions = ()  # its message's permissions are enough
        constraints = [
            models.CheckConstraint(
                condition=(
                    Q(kind="inline") & ~Q(image_name="") | Q(kind="attachment", image_name="")
                ),
                name="inline_images_have_a_name_in_the_html",
            )
        ]

    def __str__(self) -> str:
        return self.name
