"""Finding what a command line names."""

from typing import TypeVar

from django.core.management.base import CommandError
from django.db.models import QuerySet

from mailer.models import Mailing, Relay

Named = TypeVar("Named", Mailing, Relay)


def get_mailing(name: str) -> Mailing:
    """Raises CommandError that lists the mailings there are."""
    return _get(Mailing.objects.all(), name)


def get_relay(name: str) -> Relay:
    """Raises CommandError that lists the relays there are."""
    return _get(Relay.objects.all(), name)


def _get(rows: QuerySet[Named], name: str) -> Named:
    found = rows.filter(name=name).first()
    if found is None:
        known = ", ".join(f"“{n}”" for n in rows.values_list("name", flat=True)[:20])
        kind = rows.model._meta.verbose_name  # noqa: SLF001  # documented, whatever its name says
        raise CommandError(f"There is no {kind} “{name}”. There are: {known or 'none yet'}.")
    return found
