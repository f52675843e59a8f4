"""What an object's page may change of it."""

from django.db import models


def editable_fields(model: type[models.Model]) -> list[str]:
    """Names of what a form may change: a save of these alone leaves what workers write."""
    fields = model._meta.concrete_fields  # noqa: SLF001  # a public part of Django
    return [field.name for field in fields if field.editable and not field.primary_key]
