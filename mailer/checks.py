"""System checks: settings that would send wrongly are found before anything starts."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register()
def check_sizes(app_configs: Sequence[Any] | None, **_kwargs: Any) -> list[CheckMessage]:
    """A window must fit its batch."""
    found: list[CheckMessage] = []
    if settings.MAILER_WINDOW_SIZE > settings.MAILER_BATCH_SIZE:
        found.append(
            Error(
                "MAILER_WINDOW_SIZE is larger than MAILER_BATCH_SIZE.",
                hint="A batch is sent window by window; make it at least as large.",
                id="mailer.E001",
            )
        )
    return found
