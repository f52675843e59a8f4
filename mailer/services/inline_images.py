"""What a message's HTML shows as cid:NAME, and what that becomes in the mail (RFC 2392)."""

import re
from collections.abc import Mapping

# Within an attribute or a style, or behind a {% … %} there. "CID:1234" in a sentence is none.
_REFERENCE = re.compile(
    r"""((?:(?:["'=]|\burl\(|&quot;|&apos;|&\#0*3[49];)\s*|%\})cid:)([^"'\s<>()&;,]{1,200}?)"""
    r"""(?=["'\s<>()&;,]|\{%)""",
    re.IGNORECASE,
)


def shown_images(html: str) -> dict[str, int]:
    """The names after cid: in a template, each with the line of its first place."""
    found: dict[str, int] = {}
    for match in _REFERENCE.finditer(html):
        found.setdefault(match[2], html.count("\n", 0, match.start(2)) + 1)
    return found


def with_content_ids(html: str, content_ids: Mapping[str, str]) -> str:
    """The template with each name as the whole Content-ID of its image."""
    return _REFERENCE.sub(lambda match: match[1] + content_ids.get(match[2], match[2]), html)
