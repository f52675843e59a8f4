"""The bulk mail application."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MailerConfig(AppConfig):
    name = "mailer"
    verbose_name = _("Mail")

    def ready(self) -> None:
        # Not before: they need the models and the settings.
        from . import checks, tasks  # noqa: F401
        from .services import doorbell

        doorbell.answer_with(tasks.ring_after_commit)
