"""Searching lists for people: by any part of their address or name."""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from admin_ext.components.numbers import format_number
from mailer.services.searching import LIMIT, People, find_people

HELP = gettext_lazy("Any part of an address or a name, of three letters or more; or @example.com.")


def search_people(request: HttpRequest, term: str) -> list[int]:
    """The keys of those whom a search finds, LIMIT at most; the list says so when these are not
    all."""
    people = find_people(term, limit=LIMIT)
    asked: Any = request
    asked.search_note = _in_words(people)
    return people.keys


def _in_words(people: People) -> str:
    words = []
    if people.by_beginning:
        words.append(
            _("Only the beginning of addresses was looked at: this database has no index for more.")
        )
    if people.more:
        more = _(
            "More than %(n)s people are found; the list is of %(n)s of them. Write more of it."
        )
        words.append(more % {"n": format_number(LIMIT)})
    return " ".join(words)
