"""The text part of a message that was written as HTML only."""

from __future__ import annotations

import re
from collections.abc import Mapping

from inscriptis import get_text  # type: ignore[import-untyped]
from inscriptis.model.config import ParserConfig  # type: ignore[import-untyped]
from inscriptis.model.html_document_state import (  # type: ignore[import-untyped]
    HtmlDocumentState,
)
from inscriptis.model.tag import CustomHtmlTagHandlerMapping  # type: ignore[import-untyped]

from mailer.engine.template_check import split_template

_MARK = re.compile("\ue000(\\d+)\ue001")


def _write_alt(state: HtmlDocumentState, attributes: Mapping[str, str]) -> None:
    # Its own handler writes [words]: in a link, [[words]](address); and falls back to a title.
    state.tags[-1].write(" ".join(attributes.get("alt", "").split()))


_CONFIG = ParserConfig(
    display_links=True,  # a text reader needs the unsubscribe address too
    custom_html_tag_handler_mapping=CustomHtmlTagHandlerMapping({"img": _write_alt}, {}),
)


def text_from_html(html: str) -> str:
    """HTML as readable text, links as [words](address), images as their alt texts.

    Costs about 10 ms for 8 KB.
    """
    if not html.strip():
        return ""
    text: str = get_text(html, _CONFIG)
    return text.strip() + "\n"


def text_template(html: str) -> str | None:
    """A text template for an HTML template, or None where only each message can be converted.

    Each {{ … }} and {% … %} is replaced by a mark, the rest converted, the marks put back. A loop
    round table rows does not survive that (its marks end up before the table): then None.
    """
    if "\ue000" in html:
        return None
    marked, pieces = "", list[tuple[str, str]]()
    for kind, text, _ in split_template(html):
        if kind == "data":
            marked += text
        else:
            marked += f"\ue000{len(pieces)}\ue001"
            pieces.append((kind, text))
    converted = text_from_html(marked)
    found = [int(mark) for mark in _MARK.findall(converted)]
    blocks = {number for number, (kind, _) in enumerate(pieces) if kind == "block"}
    if "{{" in converted or "{%" in converted or "{#" in converted:
        return None  # written as entities: it would come alive
    if found != sorted(set(found)) or not blocks.issubset(found):
        return None
    return _MARK.sub(lambda mark: pieces[int(mark[1])][1], converted)
