"""Finding people among millions, by any part of their address or name.

PostgreSQL answers from an index of trigrams (pg_trgm), SQLite from an FTS5 table that triggers
keep; migration 0010 makes either. Where it could not, the beginning of an address finds somebody.
"""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import F, Func, Q, QuerySet, TextField

from mailer.addresses import hash_address, normalize_address, normalize_domain
from mailer.models import Recipient

#: So many people at most are followed from a search into a list.
LIMIT = 1000
#: A part of fewer letters has no trigram.
SHORTEST = 3
#: The index's name on PostgreSQL, the table's on SQLite.
INDEX = "mailer_recipient_search"

_IS_THERE = {
    "postgresql": "SELECT to_regclass(%s) IS NOT NULL",
    "sqlite": "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = %s)",
}
# Of words too short for a trigram, the rest of the row decides.
_MATCHING = f"""
SELECT rowid FROM {INDEX} WHERE {INDEX} MATCH %s {{short}} ORDER BY rowid DESC LIMIT %s
"""  # noqa: S608  # no value is formatted in
_SHORT = "AND instr(lower(address || ' ' || name), %s)"


@dataclass(frozen=True, slots=True)
class People:
    """Keys of those found; `more`: there are others too. `by_beginning`: there was no index."""

    keys: list[int]
    more: bool = False
    by_beginning: bool = False


def find_people(term: str, *, limit: int = LIMIT) -> People:
    """Whose whole address it is; else all at that @domain; else whose address and name have all its
    words somewhere in them. In any capitals."""
    term = term.replace("\0", "").strip()
    if whole := list(_keys(Recipient.objects.filter(address_key=address_key_of(term)), limit=1)):
        return People(whole)
    if term.startswith("@") and (there := _keys(_at_domain(term[1:]), limit=limit)):
        return _cut(there, limit)
    words = term.lower().split()
    if all(len(word) < SHORTEST for word in words):
        return _cut(_keys(_beginning(term), limit=limit), limit)
    if not has_index():
        return _cut(_keys(_beginning(term), limit=limit), limit, by_beginning=True)
    if connection.vendor == "postgresql":
        return _cut(_keys(_with_words(words), limit=limit), limit)
    return _cut(_by_table(words, limit=limit), limit)


def address_key_of(term: str) -> bytes:
    """The key of an address as somebody types it; of no address at all if it is none."""
    try:
        return hash_address(normalize_address(term), key=settings.ADDRESS_KEY)
    except ValueError:
        return b""


def has_index() -> bool:
    """Asked each time: it may be made while the site is running."""
    with connection.cursor() as cursor:
        cursor.execute(_IS_THERE[connection.vendor], [INDEX])
        return bool(cursor.fetchone()[0])


def _cut(keys: list[int], limit: int, **also: bool) -> People:
    return People(keys[:limit], more=len(keys) > limit, **also)


def _keys(people: QuerySet[Recipient], *, limit: int) -> list[int]:
    """In no order: PostgreSQL would have to find all before it could sort them."""
    return list(people.order_by().values_list("pk", flat=True)[: limit + 1])


def _at_domain(domain: str) -> QuerySet[Recipient]:
    try:
        return Recipient.objects.filter(domain=normalize_domain(domain))
    except ValueError:
        return Recipient.objects.none()


def _beginning(term: str) -> QuerySet[Recipient]:
    found = Q()
    for start in {term, term.lower()}:
        if connection.vendor == "postgresql":
            found |= Q(address__startswith=start)
        else:  # SQLite's LIKE ignores the index; a range does not
            found |= Q(address__gte=start, address__lt=start + "\U0010ffff")
    return Recipient.objects.filter(found)


def _with_words(words: list[str]) -> QuerySet[Any]:
    # As the index has it, word for word.
    text = Func(
        F("address"), F("name"),
        template="lower(%(expressions)s)", arg_joiner=" || ' ' || ", output_field=TextField(),
    )  # fmt: skip
    found = Recipient.objects.alias(text=text)
    for word in words:
        found = found.filter(text__contains=word)
    return found


def _by_table(words: list[str], *, limit: int) -> list[int]:
    quoted = [_quoted(word) for word in words if len(word) >= SHORTEST]
    short = [word for word in words if len(word) < SHORTEST]
    sql = _MATCHING.format(short=" ".join(_SHORT for _word in short))
    with connection.cursor() as cursor:
        cursor.execute(sql, [" AND ".join(quoted), *short, limit + 1])
        return [key for (key,) in cursor.fetchall()]


def _quoted(word: str) -> str:
    """A string of FTS5, whatever the word holds."""
    doubled = word.replace('"', '""')
    return f'"{doubled}"'
