"""What an object's page may change of it, and an action's line in its history."""

from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.db import models
from django.http import HttpRequest


def editable_fields(model: type[models.Model]) -> list[str]:
    """Names of what a form may change: a save of these alone leaves what workers write."""
    fields = model._meta.concrete_fields  # noqa: SLF001  # a public part of Django
    return [field.name for field in fields if field.editable and not field.primary_key]


def note_change(request: HttpRequest, obj: Any, words: str) -> None:
    """Write who did it (the request's user) and what, in plain words."""
    by: Any = request.user
    LogEntry.objects.log_actions(by.pk, [obj], CHANGE, change_message=words, single_object=True)
