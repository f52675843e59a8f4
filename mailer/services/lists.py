"""Which list a name means, and the short name of a new one."""

import itertools

from django.utils.text import slugify
from django.utils.translation import gettext as _

from mailer.exceptions import ImportRefused
from mailer.models import MailingList


def list_called(name: str) -> MailingList:
    """The list of that name, whatever its capitals, or a new one that is yet to be saved.

    Raises ImportRefused when several are meant, ValidationError when it cannot be a name.
    """
    name = name.strip()
    # Compared here: SQLite would find other capitals in ASCII only. Lists are few.
    known = [made for made in MailingList.objects.all() if made.name.casefold() == name.casefold()]
    exact = [made for made in known if made.name == name]
    if len(known) > 1 and not exact:
        names = ", ".join(sorted(f"“{made.name}”" for made in known))
        words = _("“%(name)s” may be any of %(names)s. Write it as it stands there.")
        raise ImportRefused(words % {"name": name, "names": names})
    if known:
        return (exact or known)[0]
    new = MailingList(name=name, slug=free_slug(name))
    new.full_clean()
    return new


def free_slug(name: str) -> str:
    """A short name for a new list that no other list has; "list-2" where a name gives none."""
    stem = slugify(name)[:50] or "list"
    taken = set(MailingList.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
    candidates = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(slug for slug in candidates if slug not in taken)
