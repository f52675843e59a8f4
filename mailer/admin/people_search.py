"""Searching lists for people: by any part of their address or name."""

from typing import Any

from django.db.models import F
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from admin_ext.components.numbers import format_number
from mailer.services.searching import LIMIT, People, find_people

#: The newest first of what a search found. Plainly by its key, PostgreSQL would walk back through
#: the whole table to meet them in that order.
NEWEST_FOUND = (F("pk") + 0).desc()
HELP = gettext_lazy("Any part of an address or a name, of three letters or more; or @example.com.")


def search_people(request: HttpRequest, term: str, *, limit: int = LIMIT) -> list[int]:
    """The keys of those whom a search finds; the list says so when these are not all."""
    people = find_people(term, limit=limit)
    note_people(request, people, limit=limit)
    return people.keys


def note_people(request: HttpRequest, people: People, *, limit: int) -> None:
    """What is beside the search of people whom a search found, if anything."""
    words = []
    if people.by_beginning:
        words.append(
            _("Only the beginning of addresses was looked at: this database has no index for more.")
        )
    if people.more:
        more = _(
            "More than %(n)s people are found; the list is of %(n)s of them. Write more of it."
        )
        words.append(more % {"n": format_number(limit)})
    note_search(request, " ".join(words))


def note_search(request: HttpRequest, words: str) -> None:
    """A sentence beside the search of the list that this request asks for."""
    asked: Any = request
    asked.search_note = words
