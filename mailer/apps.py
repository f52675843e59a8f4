"""The bulk mail application."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MailerConfig(AppConfig):
    name = "mailer"
    verbose_name = _("Mail")

    def ready(self) -> None:
        # Not before: they need the models.
        from . import tasks
        from .services import doorbell

        doorbell.answer_with(tasks.ring_after_commit)
