"""What a message's HTML shows as cid:NAME, and what that becomes in the mail (RFC 2392)."""

import re
from collections.abc import Iterator, Mapping

_NAME = r"""cid:(?P<name>[^"'\s<>()&;,]{1,200}?)(?=["'\s<>()&;,]|\{%)"""
# In an attribute that lists images: srcset="cid:small 1x, cid:large 2x".
_LISTED = re.compile(rf"""(?:["',]\s*|%\}}){_NAME}""", re.IGNORECASE)
_PLACES = re.compile(
    # Nobody sees what is commented out, but Outlook reads what is within <!--[if mso]>. The
    # <!--> that often follows one is a whole comment.
    r"""<!--(?!\[if\b|-?>).*?(?:-->|\Z)|\{\#.*?(?:\#\}|\Z)"""
    r"""|(?P<list>\bsrcset\s*=\s*(?:"[^"]*"|'[^']*'))"""
    # Within an attribute or a style, or behind a {% … %} there. "CID:1234" in a sentence is none.
    rf"""|(?:(?:["'=]|\burl\(|&quot;|&apos;|&\#0*3[49];)\s*|%\}}){_NAME}""",
    re.IGNORECASE | re.DOTALL,
)


def shown_images(html: str) -> dict[str, int]:
    """The names after cid: in a template, each with the line of its first place."""
    found: dict[str, int] = {}
    line, counted = 1, 0
    for match in _references(html):
        line += html.count("\n", counted, match.start())  # from the start each time, it takes long
        counted = match.start()
        found.setdefault(match["name"], line + html.count("\n", counted, match.start("name")))
    return found


def with_content_ids(html: str, content_ids: Mapping[str, str]) -> str:
    """The template with each name as the whole Content-ID of its image."""
    written, done = "", 0
    for match in _references(html):
        name = match["name"]
        written += html[done : match.start("name")] + content_ids.get(name, name)
        done = match.end("name")
    return written + html[done:]


def _references(html: str) -> Iterator[re.Match[str]]:
    for place in _PLACES.finditer(html):
        if place["list"]:
            yield from _LISTED.finditer(html, *place.span())
        elif place["name"]:
            yield place
