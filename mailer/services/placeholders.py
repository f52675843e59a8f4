"""Which placeholders a message takes, and who lacks them."""

from collections.abc import Iterable, Iterator
from itertools import islice

import jinja2
from django.db.models import Count, Q
from jinja2 import nodes

from mailer.engine.render import placeholders
from mailer.models import Mailing, MessageVersion, Recipient

from .audience import recipients_of
from .column_names import can_be_placeholder, placeholder_name

#: What everybody has, filled in or empty.
FIXED = frozenset({"name", "address", "language", "time_zone"})
#: Whose columns are offered: so many people, the newest; looking at all may take long.
PEOPLE_ASKED = 200
#: No more names are looked for: each may take a look at every recipient.
NAMES_ASKED = 10
#: Filters and tests that a missing value passes through.
FORGIVING = {"d", "default", "defined", "undefined", "none"}

_parser = jinja2.Environment(autoescape=True)


def known_placeholders() -> list[str]:
    """What a message can fill in: what everybody has, and what the newest recipients have."""
    newest = Recipient.objects.order_by("-pk").values_list("attributes", flat=True)
    names = {name for attributes in newest[:PEOPLE_ASKED] for name in attributes}
    return sorted(FIXED | {name for name in names if can_be_placeholder(name)})


def unknown_placeholders(sources: Iterable[str]) -> dict[str, str]:
    """The placeholders that no recipient at present has, each with the one probably meant or ""."""
    used = set().union(*map(placeholders, sources)) - FIXED
    unknown = [name for name in islice(sorted(used), NAMES_ASKED) if not _somebody_has(name)]
    return {name: _probably_meant(name) for name in unknown}


def count_lacking(mailing: Mailing, version: MessageVersion) -> dict[str, int]:
    """How many of those a mailing goes to now lack a placeholder it needs; one query.

    Only what some of them lack, and what has no default.
    """
    needed = needed_placeholders([version.subject, version.html, version.text])
    names = sorted(needed - FIXED)[:NAMES_ASKED]
    if not names:
        return {}
    counts = recipients_of(mailing).aggregate(
        **{
            f"lack_{n}": Count("pk", filter=~Q(attributes__has_key=name))
            for n, name in enumerate(names)
        }
    )
    lacking = {name: counts[f"lack_{n}"] for n, name in enumerate(names)}
    return {name: count for name, count in lacking.items() if count}


def needed_placeholders(sources: Iterable[str]) -> set[str]:
    """The placeholders without which a message may fail.

    Not those with a default, nor those used only where the message asked whether they are there.
    """
    needed: set[str] = set()
    for source in sources:
        used = placeholders(source)
        try:
            needed |= used and used & set(_needed(_parser.parse(source), frozenset()))
        except RecursionError:
            needed |= used
    return needed


def _needed(node: nodes.Node, asked: frozenset[str]) -> Iterator[str]:
    if isinstance(node, nodes.Name):
        if node.name not in asked:
            yield node.name
        return
    if isinstance(node, (nodes.If, nodes.CondExpr)):
        asked |= set(_asked(node.test))
    elif isinstance(node, (nodes.And, nodes.Or)):
        asked |= set(_asked(node.left))
    elif isinstance(node, (nodes.Not, nodes.Filter, nodes.Test)):
        asked |= set(_asked(node))
    for child in node.iter_child_nodes():
        yield from _needed(child, asked)


def _asked(node: nodes.Node | None) -> Iterator[str]:
    """The names that an expression may find missing without failing."""
    if isinstance(node, nodes.Name):
        yield node.name
    elif isinstance(node, (nodes.And, nodes.Or)):
        yield from _asked(node.left)
        yield from _asked(node.right)
    elif isinstance(node, nodes.Not):
        yield from _asked(node.node)
    elif isinstance(node, nodes.Compare) and not isinstance(node.expr, nodes.Name):
        yield from _asked(node.expr)
    elif isinstance(node, (nodes.Filter, nodes.Test)) and node.name in FORGIVING:
        yield from _asked(node.node)


def _somebody_has(name: str) -> bool:
    return Recipient.objects.filter(attributes__has_key=name).exists()


def _probably_meant(name: str) -> str:
    """What the import makes of a column of that name, if it is something to fill in."""
    meant = placeholder_name(name)
    return meant if meant != name and (meant in FIXED or _somebody_has(meant)) else ""
