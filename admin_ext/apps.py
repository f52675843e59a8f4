from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AdminExtConfig(AppConfig):
    """Celery in the Django admin."""

    name = "admin_ext"
    verbose_name = _("Engine room")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Celery's signals: they are sent in workers only, connecting costs nothing elsewhere.
        from . import attempts, checks, forking, heartbeat_thread  # noqa: F401

        attempts.connect()
        forking.connect()
        heartbeat_thread.connect()
