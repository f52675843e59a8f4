"""An action's line in an object's history."""

from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.http import HttpRequest


def note_change(request: HttpRequest, obj: Any, words: str) -> None:
    """Write who did it (the request's user) and what, in plain words."""
    by: Any = request.user
    LogEntry.objects.log_actions(by.pk, [obj], CHANGE, change_message=words, single_object=True)
