"""A text template made of an HTML template, so that not each message has to be converted."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

import lxml.html  # type: ignore[import-untyped]

from mailer.engine.template_check import split_template
from mailer.engine.text_part import read_html, text_of_tree

_MARK = re.compile("\ue000(\\d+)\ue001")
_QUOTED = re.compile(r"""=\s*(?:"[^"<]*"|'[^'<]*')""")
_IN_MARKUP = re.compile("<[^<>]*\ue000|&[#\\w]*\ue000")
_BRACES = re.compile(r"\{(?:[{%#]|" + "\ue000)")  # written as entities: they would come alive
_TAKES_SPACE = re.compile(r"\A\{.[-+]|[-+].\}\s*\Z")
_WORD = re.compile(r"\{%\s*(\w+)")
_LISTS_AND_TABLES = ("ul", "ol", "table", "thead", "tbody", "tfoot", "tr")
#: What a branch may hold: these change nothing behind their ends.
_SIMPLE = frozenset(
    {"a", "b", "br", "center", "div", "em", "font", "h1", "h2", "h3", "h4", "h5", "h6", "i"}
    | {"img", "p", "small", "span", "strong", "u"}
)


def text_template(html: str) -> str | None:
    """A text template for an HTML template, or None where only each message can be converted.

    Each {{ … }} and {% … %} is replaced by a mark, the rest converted, the marks put back. What it
    gives is, but for white space, the text of the rendered HTML: None where a value or a branch
    may change more than its own place. Raises NoTextError.
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
    if not marked.strip():
        return ""
    tree = read_html(marked)
    converted = text_of_tree(tree)
    found = [int(mark) for mark in _MARK.findall(converted)]
    blocks = {number: text for number, (kind, text) in enumerate(pieces) if kind == "block"}
    if found != sorted(set(found)) or not blocks.keys() <= set(found) or _BRACES.search(converted):
        return None
    if any(_TAKES_SPACE.search(text) for _, text in pieces) or _has_marks_in_markup(marked, tree):
        return None
    if not _stand_alone(blocks, tree):
        return None
    return _MARK.sub(lambda mark: pieces[int(mark[1])][1], converted)


def _has_marks_in_markup(marked: str, tree: lxml.html.HtmlElement) -> bool:
    """Whether a value may become part of a tag, a style or a character reference."""
    return bool(_IN_MARKUP.search(_QUOTED.sub("", marked))) or any(
        _MARK.search(element.get("style", "")) for element in tree.iter()
    )


def _stand_alone(blocks: dict[int, str], tree: lxml.html.HtmlElement) -> bool:
    """Whether each statement begins and ends within one element, and all its branches too, with
    nothing in them that changes what is around."""
    changing = _changing(tree)
    places = dict[int, tuple[list[int], int]]()
    for element in tree.iter():
        if element.tag in _LISTS_AND_TABLES:
            continue
        texts = [element.text or "", *(child.tail or "" for child in element)]
        if any(map(_MARK.search, texts)):
            others = [n for n, child in enumerate(element) if child in changing]
            places |= {int(m): (others, n) for n, s in enumerate(texts) for m in _MARK.findall(s)}
    for statement in _statements(blocks):
        if not places.keys() >= set(statement):
            return False
        others, first = places[statement[0]]
        if any(places[number][0] is not others for number in statement):
            return False
        if bisect_left(others, first) != bisect_left(others, places[statement[-1]][1]):
            return False
    return True


def _changing(tree: lxml.html.HtmlElement) -> set[lxml.html.HtmlElement]:
    """The elements that no branch may hold, and those around them."""
    found = set[lxml.html.HtmlElement]()
    for element in tree.iter():
        if element.tag not in _SIMPLE:
            while element is not None and element not in found:
                found.add(element)
                element = element.getparent()  # noqa: PLW2901 (upwards)
    return found


def _statements(blocks: dict[int, str]) -> Iterator[list[int]]:
    """The numbers of each statement's blocks, from its {% if %} or {% for %} to its end."""
    begun = list[list[int]]()
    for number, text in blocks.items():
        word = _WORD.match(text)
        if word and word[1] in {"if", "for", "raw"}:
            begun.append([])
        begun[-1].append(number)
        if word and word[1].startswith("end"):
            yield begun.pop()
