"""What the columns of a recipient file are called in a message's placeholders."""

from collections.abc import Sequence
from unicodedata import normalize

from django.utils.translation import gettext as _

ADDRESS_COLUMNS = {"address", "email", "e_mail", "mail", "email_address", "e_mail_address"}
#: Words with a meaning of their own inside {{ … }}.
RESERVED = {"and", "else", "false", "if", "in", "is", "none", "not", "or", "true"}


def placeholder_name(heading: str, *, position: int = 1) -> str:
    """What a column's heading becomes: "Post-Code" → "post_code", "E-Mail" → "address".

    Small letters, and _ for whatever cannot stand in a placeholder; "" for a heading without text.
    """
    heading = normalize("NFKC", heading).strip()
    words = "".join(c if f"x{c}".isidentifier() else " " for c in heading.lower()).split()
    name = "_".join(words).lstrip("_")
    if name in ADDRESS_COLUMNS:
        return "address"
    if name in RESERVED or (name and not name.isidentifier()):
        return f"column_{name}"
    return name or (heading and f"column_{position}")


def can_be_placeholder(name: str) -> bool:
    """Whether a message can say {{ name }}; attributes written by hand may be called anything."""
    return name.isidentifier() and not name.startswith("_") and name not in RESERVED


def placeholder_names(headings: Sequence[str]) -> list[str]:
    """The names of all columns; those at the end that have none are left out."""
    names = [placeholder_name(text, position=n) for n, text in enumerate(headings, start=1)]
    while names and not names[-1]:
        names.pop()
    return names


def what_is_wrong(headings: Sequence[str]) -> str:
    """What keeps a header from being used, as the end of "cannot be read: …"; "" if nothing."""
    names, first = placeholder_names(headings), dict[str, int]()
    if "address" not in names:
        return _("it has no column “address” (or “email”) in its first line")
    for position, name in enumerate(names, start=1):
        if not name:
            return _("column %(n)s has no name in the first line") % {"n": position}
        if name in first:
            return _(
                "columns %(first)s (“%(one)s”) and %(n)s (“%(other)s”) would both be called"
                " “%(name)s”; give one of them another name, or leave it out"
            ) % {
                "first": first[name],
                "one": headings[first[name] - 1].strip(),
                "n": position,
                "other": headings[position - 1].strip(),
                "name": name,
            }
        first[name] = position
    return ""
