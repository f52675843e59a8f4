"""The text part of a message that was written as HTML only."""

from __future__ import annotations

import re
from collections.abc import Mapping

import lxml.etree  # type: ignore[import-untyped]
import lxml.html  # type: ignore[import-untyped]
from inscriptis import Inscriptis  # type: ignore[import-untyped]
from inscriptis.css_profiles import RELAXED_CSS_PROFILE  # type: ignore[import-untyped]
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

_HIDDEN = re.compile(r"(?:^|;)\s*display\s*:\s*none", re.IGNORECASE)
# Texts are read for character references again, in tables more than once: "&region=" in an address.
_AMPERSAND = "\ue002"
_OF_A_HEAD = frozenset({"base", "link", "meta", "noscript", "script", "style", "template", "title"})
_INDENT_LIMIT = 40  # characters; each line of lists in lists would begin with all of it


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


def _begin_table(state: HtmlDocumentState, _: Mapping[str, str]) -> None:
    state.tags[-1].canvas.flush_inline()  # else the words before it run into its first cell
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
    # Quotation marks are written by _write_out: its own come with each piece of a text.
    css={tag: layout for tag, layout in RELAXED_CSS_PROFILE.items() if tag != "q"},
    custom_html_tag_handler_mapping=CustomHtmlTagHandlerMapping(
        {
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
    return text_of_tree(read_html(html)) if html.strip() else ""


def read_html(html: str) -> lxml.html.HtmlElement:
    """HTML with all that its text shall say as texts. Raises NoTextError."""
    try:
        # As octets: a text with an XML declaration, as XHTML has, is refused.
        parser = lxml.html.HTMLParser(encoding="utf-8")
        tree = lxml.html.document_fromstring(html.encode(), parser=parser)
        _write_out(tree)
    except Exception as error:  # one person's values must not end a run, whatever it stumbles on
        raise NoTextError from error
    return tree


def _write_out(tree: lxml.html.HtmlElement) -> None:
    # Within what is hidden, the text behind a comment would be shown.
    lxml.etree.strip_tags(tree, lxml.etree.Comment, lxml.etree.ProcessingInstruction)
    _close_head(tree)
    for element in tree.iter("a", "img", "q"):
        if element.tag == "img":
            element.text = " ".join(element.get("alt", "").split())
        elif element.tag == "q":
            _put_between(element, '"', '"')
        elif (address := element.get("href")) is not None:
            # A text reader needs the unsubscribe address too.
            _put_between(element, "[", f"]({address})")
    for element in tree.iter():
        if element.text and "&" in element.text:
            element.text = element.text.replace("&", _AMPERSAND)
        if element.tail and "&" in element.tail:
            element.tail = element.tail.replace("&", _AMPERSAND)


def _close_head(tree: lxml.html.HtmlElement) -> None:
    """Begin the body where a browser does: what the parser does not know, as a section or a header,
    it leaves in the head, of which nothing is shown."""
    head, body = tree.find("head"), tree.find("body")
    if head is None or (first := next((e for e in head if e.tag not in _OF_A_HEAD), None)) is None:
        return
    moved = [first, *first.itersiblings()]
    if body is None:
        body = lxml.etree.SubElement(tree, "body")
    moved[-1].tail = (moved[-1].tail or "") + (body.text or "")
    body.text = None
    for place, element in enumerate(moved):
        body.insert(place, element)


def _put_between(element: lxml.html.HtmlElement, before: str, behind: str) -> None:
    element.text = before + (element.text or "")
    if len(element):
        element[-1].tail = (element[-1].tail or "") + behind
    else:
        element.text += behind


def text_of_tree(tree: lxml.html.HtmlElement) -> str:
    """The text of what read_html() gave. Raises NoTextError."""
    try:
        text: str = Inscriptis(tree, _CONFIG).get_text()
    except Exception as error:  # as above
        raise NoTextError from error
    return text.strip().replace(_AMPERSAND, "&") + "\n"
