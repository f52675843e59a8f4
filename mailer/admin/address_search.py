"""Finding people by their address in tables of millions: whole or its beginning, by an index."""

from django.conf import settings
from django.db import connection
from django.db.models import Q

from mailer.addresses import hash_address, normalize_address
from mailer.models import Recipient

#: So many people at most are followed from a search into other tables.
LIMIT = 1000


def matches_address(term: str) -> Q:
    """A recipient with this address, in any capitals, or with one that begins like it."""
    found = Q(address_key=address_key_of(term))
    for start in {term, term.lower()}:
        found |= _starts_with(start)
    return found


def recipient_ids(term: str) -> list[int]:
    """The keys of the first LIMIT recipients that a search finds."""
    found = Recipient.objects.filter(matches_address(term)).order_by()
    return list(found.values_list("pk", flat=True)[:LIMIT])


def address_key_of(term: str) -> bytes:
    """The key of an address as somebody types it; of no address at all if it is none."""
    try:
        return hash_address(normalize_address(term), key=settings.ADDRESS_KEY)
    except ValueError:
        return b""


def _starts_with(start: str) -> Q:
    if connection.vendor == "postgresql":
        return Q(address__startswith=start)
    # SQLite's LIKE ignores the index; a range does not.
    return Q(address__gte=start, address__lt=start + "\U0010ffff")
