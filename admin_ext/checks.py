"""Wrong settings stop the start instead of a worker in the night."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

NUMBERS = ("ADMIN_EXT_HEARTBEAT_SECONDS", "ADMIN_EXT_BEAT_LEASE_SECONDS", "ADMIN_EXT_KEEP_DAYS")


@register()
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The times are numbers above zero."""
    wrong: list[CheckMessage] = []
    for name in NUMBERS:
        value = getattr(settings, name, 1)
        if not isinstance(value, int | float) or value <= 0:
            wrong.append(Error(f"{name} must be a number above 0.", id="admin_ext.E001"))
    return wrong
