"""Searching lists for people: by any part of their address or name."""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from admin_ext.components.numbers import format_number
from mailer.services.searching import LIMIT, People, find_people

HELP = gettext_lazy("Any part of an address or a name, of three letters or more; or @example.com.")


def search_people(request: HttpRequest, term: str, *, limit: int = LIMIT) -> list[int]:
    """The keys of those whom a search finds; the list says so when these are not all."""
    people = find_people(term, limit=limit)
    note_search(request, _in_words(people, limit=limit))
    return people.keys


def note_search(request: HttpRequest, words: str) -> None:
    """A sentence beside the search of the list that this request asks for."""
    asked: Any = request
    asked.search_note = words


def _in_words(people: People, *, limit: int) -> str:
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
    return " ".join(words)
