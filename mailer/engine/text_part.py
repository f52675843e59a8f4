"""The text part of a message that was written as HTML only."""

from __future__ import annotations

import re
from collections.abc import Mapping

import lxml.html  # type: ignore[import-untyped]
from inscriptis import get_text  # type: ignore[import-untyped]
from inscriptis.html_properties import Display  # type: ignore[import-untyped]
from inscriptis.model.canvas import Canvas  # type: ignore[import-untyped]
from inscriptis.model.config import ParserConfig  # type: ignore[import-untyped]
from inscriptis.model.html_document_state import (  # type: ignore[import-untyped]
    HtmlDocumentState,
)
from inscriptis.model.html_element import HtmlElement  # type: ignore[import-untyped]
from inscriptis.model.table import Table, TableRow  # type: ignore[import-untyped]
from inscriptis.model.tag import CustomHtmlTagHandlerMapping  # type: ignore[import-untyped]
from inscriptis.model.tag.list_tag import (  # type: ignore[import-untyped]
    li_start_handler,
    ol_start_handler,
    ul_start_handler,
)

from mailer.engine.template_check import split_template

_MARK = re.compile("\ue000(\\d+)\ue001")
_HIDDEN = re.compile(r"(?:^|;)\s*display\s*:\s*none", re.IGNORECASE)
_INDENT_LIMIT = 40  # characters; each line of lists in lists would begin with all of it
_LISTS_AND_TABLES = ("ul", "ol", "table", "thead", "tbody", "tfoot", "tr")


class NoTextError(Exception):
    """No text can be made of this HTML."""


class _Table(Table):  # type: ignore[misc]
    """Rows as lines. Its own pads each cell to the widest: one long cell makes 100 MB of 1 MB."""

    def get_text(self) -> str:
        return "\n".join(map(_row_text, self.rows)) + "\n"

    def get_annotations(self, *_: object) -> list[object]:
        return []


def _row_text(row: TableRow) -> str:
    texts = [text for cell in row.columns if (text := cell.get_text()).strip()]
    if len(texts) > 1 and not any("\n" in text.strip() for text in texts):
        return "  ".join(text.strip() for text in texts)
    return "\n".join(texts)


def _write_alt(state: HtmlDocumentState, attributes: Mapping[str, str]) -> None:
    # Its own handler writes [words]: in a link, [[words]](address); and falls back to a title.
    state.tags[-1].write(" ".join(attributes.get("alt", "").split()))


def _begin_table(state: HtmlDocumentState, _: Mapping[str, str]) -> None:
    state.tags[-1].set_canvas(Canvas())
    state.current_table.append(_Table(left_margin_len=0, cell_separator="  "))


def _begin_item(state: HtmlDocumentState, _: Mapping[str, str]) -> None:
    li_start_handler(state, {})  # without its value, of which "²" is no number


def _begin_ul(state: HtmlDocumentState, attributes: Mapping[str, str]) -> None:
    _limit_indent(state, attributes)
    ul_start_handler(state, attributes)


def _begin_ol(state: HtmlDocumentState, attributes: Mapping[str, str]) -> None:
    _limit_indent(state, attributes)
    ol_start_handler(state, attributes)


def _limit_indent(state: HtmlDocumentState, _: Mapping[str, str]) -> None:
    if sum(tag.padding_inline for tag in state.tags) > _INDENT_LIMIT:
        state.tags[-1].padding_inline = 0


def _apply_style(style: str, element: HtmlElement) -> None:
    # Its own takes lengths of any size, and recurses on "style: style: …".
    if _HIDDEN.search(style):
        element.display = Display.none


_CONFIG = ParserConfig(
    display_links=True,  # a text reader needs the unsubscribe address too
    custom_html_tag_handler_mapping=CustomHtmlTagHandlerMapping(
        {
            "img": _write_alt,
            "table": _begin_table,
            "li": _begin_item,
            "ul": _begin_ul,
            "ol": _begin_ol,
            "div": _limit_indent,
        },
        {},
    ),
)
_CONFIG.attribute_handler.attribute_mapping = {"style": _apply_style}


def text_from_html(html: str) -> str:
    """HTML as readable text, links as [words](address), images as their alt texts.

    Costs about 10 ms for 8 KB. Raises NoTextError.
    """
    if not html.strip():
        return ""
    try:
        text: str = get_text(html, _CONFIG)
    except Exception as error:  # one person's values must not end a run, whatever it stumbles on
        raise NoTextError from error
    return text.strip() + "\n"


def text_template(html: str) -> str | None:
    """A text template for an HTML template, or None where only each message can be converted.

    Each {{ … }} and {% … %} is replaced by a mark, the rest converted, the marks put back. A loop
    round table rows does not survive that (its marks end up before the table), and one round the
    items of a list leaves lines of its own: then None. Raises NoTextError.
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
    blocks = {number for number, (kind, _) in enumerate(pieces) if kind == "block"}
    converted = text_from_html(marked)
    if blocks and not blocks.isdisjoint(_marks_between_items(marked)):
        return None
    found = [int(mark) for mark in _MARK.findall(converted)]
    if "{{" in converted or "{%" in converted or "{#" in converted:
        return None  # written as entities: it would come alive
    if found != sorted(set(found)) or not blocks.issubset(found):
        return None
    return _MARK.sub(lambda mark: pieces[int(mark[1])][1], converted)


def _marks_between_items(marked: str) -> set[int]:
    """The marks that stand directly in a list, a table or a row of one."""
    tree = lxml.html.document_fromstring(marked)
    pieces = [
        text or ""
        for element in tree.iter(*_LISTS_AND_TABLES)
        for text in (element.text, *(child.tail for child in element))
    ]
    return {int(mark) for mark in _MARK.findall("".join(pieces))}
