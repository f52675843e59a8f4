"""What staff may write in a message: parse with Jinja2, allow-list the nodes, name the line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import jinja2
from jinja2 import meta, nodes

FILTERS = frozenset(
    """abs capitalize d default e escape first float int join last length lower round title trim
    truncate upper urlencode""".split()  # noqa: SIM905 (one a line otherwise)
)
TESTS = frozenset(
    """defined undefined none true false number string even odd in eq ne lt le gt ge
    equalto""".split()  # noqa: SIM905 (one a line otherwise)
)
SOURCE_LIMIT = 500_000  # characters of one part
CHAIN_LIMIT = 8  # filters on one value: each may make its text longer
DEPTH_LIMIT = 100  # nodes within nodes; an honest message has some 15
NODE_LIMIT = 20_000  # of one part: each is looked at several times
CONSTANT_LIMIT = 1_000  # characters of a text written in an expression
LOOP_TEXT_LIMIT = 10_000  # characters repeated by a loop: thousands of rounds must stay in memory

_NODES = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.Getitem),
    *(nodes.Const, nodes.If, nodes.For, nodes.Compare, nodes.Operand, nodes.And, nodes.Or),
    *(nodes.Not, nodes.Test, nodes.CondExpr, nodes.Filter, nodes.Keyword),
)
_SIGNS = {
    "Add": "+", "Mul": "*", "Div": "/", "FloorDiv": "//", "Mod": "%", "Pow": "**",
    "Neg": "-", "Pos": "+", "Concat": "~",
}  # fmt: skip
_TAGS = {
    "Assign": "set", "AssignBlock": "set", "CallBlock": "call", "FilterBlock": "filter",
    "Include": "include", "Import": "import", "FromImport": "from", "Extends": "extends",
    "Block": "block", "Macro": "macro", "With": "with",
    "Scope": "autoescape", "ScopedEvalContextModifier": "autoescape",
}  # fmt: skip
_SPOKEN = {
    "Call": "a call with ()",
    "Slice": "a slice with [:]",
    "List": "a list in []",
    "Tuple": "a list in ()",
    "Dict": "a table in {}",
}
_UNQUOTED = re.compile(r"=\s*(?:\"[^\"]*\"|'[^']*'|(?P<bare>[^\s\"'>]+))")
# Ends at the next "<" whatever is quoted: looking beyond, each of many open tags would be read to
# the end of the message.
_TAG = re.compile(r"<[A-Za-z](?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*+>")
_MARK = re.compile("\ue000(\\d+)\ue001")

_parser = jinja2.Environment(autoescape=True)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a template: its line (from 1) and the reason in plain words."""

    line: int
    reason: str
    kind: Literal["error", "warning"] = "error"


def check_template(source: str, *, html: bool) -> list[Problem]:
    """Everything in a template that is refused (errors) or unwise (warnings), by line."""
    if len(source) > SOURCE_LIMIT:
        return [Problem(1, f"longer than {SOURCE_LIMIT:,} characters")]
    try:
        tree = _parser.parse(source)
        if problem := _too_much(tree):
            return [problem]
        problems = [*_forbidden(tree), *_long_loops(tree)]
    except jinja2.TemplateSyntaxError as error:
        return [_in_plain_words(error, source)]
    except RecursionError:
        return [Problem(1, "nested too deeply")]
    if html:
        problems += _unquoted_attributes(source)
    return sorted(set(problems), key=lambda problem: (problem.line, problem.reason))


def placeholders(source: str) -> set[str]:
    """The names a template takes from the recipient; empty where it cannot be parsed."""
    try:
        return meta.find_undeclared_variables(_parser.parse(source)) - {"loop"}
    except (jinja2.TemplateError, RecursionError):
        return set()


def split_template(source: str) -> Iterator[tuple[Literal["data", "output", "block"], str, int]]:
    """The source in pieces (kind, text, line): as it stands, {{ … }}, {% … %}; comments left out.

    Raises jinja2.TemplateSyntaxError.
    """
    kind: Literal["data", "output", "block"] = "data"
    piece, begun = "", 1
    for line, found, text in _parser.lex(source):
        if found == "data":
            yield "data", text, line
        elif found in {"raw_begin", "raw_end"}:
            yield "block", text, line
        elif found in {"variable_begin", "block_begin"}:
            kind, piece, begun = ("output" if found == "variable_begin" else "block"), text, line
        elif not found.startswith("comment"):
            piece += text
            if found in {"variable_end", "block_end"}:
                yield kind, piece, begun


def _too_much(tree: nodes.Template) -> Problem | None:
    """Whether looking closer would take long; found without recursion, and at once."""
    seen = 0
    open_nodes: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while open_nodes:
        node, depth = open_nodes.pop()
        seen += 1
        if seen > NODE_LIMIT:
            return Problem(1, f"more than {NODE_LIMIT:,} values, texts and tags")
        if depth > DEPTH_LIMIT:
            return Problem(node.lineno or 1, "nested too deeply")
        open_nodes += [(child, depth + 1) for child in node.iter_child_nodes()]
    return None


def _forbidden(tree: nodes.Template) -> Iterator[Problem]:
    for node in tree.find_all(nodes.Node):
        name, line = type(node).__name__, node.lineno or 1
        if not isinstance(node, _NODES):
            yield Problem(line, _not_available(name))
        elif isinstance(node, nodes.Filter) and node.name not in FILTERS:
            yield Problem(line, f'there is no filter "{node.name}" in messages')
        elif isinstance(node, nodes.Filter) and _filters_in(node) > CHAIN_LIMIT:
            yield Problem(line, f"more than {CHAIN_LIMIT} filters in a row")
        elif isinstance(node, nodes.Filter) and _filters_none(node):
            yield Problem(line, "write '' instead of none where a filter follows")
        elif isinstance(node, nodes.Const) and len(str(node.value)) > CONSTANT_LIMIT:
            yield Problem(line, f"more than {CONSTANT_LIMIT:,} characters between quotation marks")
        elif isinstance(node, nodes.Test) and node.name not in TESTS:
            yield Problem(line, f'there is no test "{node.name}" in messages')
        elif isinstance(node, nodes.For) and node.recursive:
            yield Problem(line, "a recursive loop is not available in messages")
        elif isinstance(node, (nodes.Getattr, nodes.Name)) and _is_private(node):
            yield Problem(line, "names that begin with _ are not available in messages")


def _not_available(name: str) -> str:
    if name == "Sub":
        return (
            "“-” between names is not available in messages: they do not calculate, and a name is"
            " written with _ instead"
        )
    if sign := _SIGNS.get(name):
        return f"“{sign}” is not available in messages: they do not calculate or join"
    spoken = f"{{% {_TAGS[name]} %}}" if name in _TAGS else _SPOKEN.get(name, name.lower())
    return f"{spoken} is not available in messages"


def _filters_in(node: nodes.Filter) -> int:
    """How many, counted to one more than CHAIN_LIMIT."""
    return 1 + sum(1 for _ in islice(node.find_all(nodes.Filter), CHAIN_LIMIT))


def _filters_none(node: nodes.Filter) -> bool:
    """Whether a filter may make a text of None: upper would print "NONE"."""
    if node.node is None or node.name in {"d", "default"}:
        return False
    constants = (node.node, *node.node.find_all(nodes.Const))
    return any(isinstance(found, nodes.Const) and found.value is None for found in constants)


def _is_private(node: nodes.Getattr | nodes.Name) -> bool:
    return (node.attr if isinstance(node, nodes.Getattr) else node.name).startswith("_")


def _long_loops(tree: nodes.Template) -> Iterator[Problem]:
    for loop in tree.find_all(nodes.For):
        if sum(len(text.data) for text in loop.find_all(nodes.TemplateData)) > LOOP_TEXT_LIMIT:
            reason = f"more than {LOOP_TEXT_LIMIT:,} characters inside a loop"
            yield Problem(loop.lineno, reason)


def _unquoted_attributes(source: str) -> Iterator[Problem]:
    """Placeholders as bare attribute values: a space in the value would begin an attribute."""
    lines, marked = list[int](), ""
    for kind, text, line in split_template(source):
        if kind == "output":
            marked += f"\ue000{len(lines)}\ue001"
            lines.append(line)
        elif kind == "data":
            marked += text
    for tag in _TAG.finditer(marked):
        for value in _UNQUOTED.finditer(tag[0]):
            for mark in _MARK.finditer(value["bare"] or ""):
                reason = 'put quotes round this attribute: ="{{ … }}"'
                yield Problem(lines[int(mark[1])], reason, "warning")


def _in_plain_words(error: jinja2.TemplateSyntaxError, source: str) -> Problem:
    """What Jinja says of a template, for people who never heard of parsers and tokens."""
    said, line = error.message or "", error.lineno
    if found := re.match(r"Unexpected end of template.* is '(\w+)'", said):
        tag = found[1]
        words = f"{{% {tag} %}} is not closed: write {{% end{tag} %}} where it ends"
        return Problem(_opened_at(tag, source) or line, words)
    for pattern, words in _PLAIN_WORDS:
        if found := re.match(pattern, said):
            parts = {name: _WRITTEN.get(text, text) for name, text in found.groupdict().items()}
            return Problem(line, words.format_map(parts))
    return Problem(line, "what stands between the braces cannot be read")


def _opened_at(tag: str, source: str) -> int | None:
    """The line of the last {% tag %} that nothing closes."""
    lines: list[int] = []
    for kind, text, line in split_template(source):
        words = re.findall(r"\w+", text) if kind == "block" else []
        if words[:1] == [tag]:
            lines.append(line)
        elif words[:1] == [f"end{tag}"] and lines:
            lines.pop()
    return lines[-1] if lines else None


#: What Jinja calls things, as it is written.
_WRITTEN = {"end of print statement": "}}", "end of statement block": "%}", "end of template": ""}
#: Its messages and ours, by the first that fits; braces stand doubled, as str.format wants them.
_PLAIN_WORDS = (
    (
        r"Encountered unknown tag '(?P<tag>end\w+)'.* is '(?P<open>\w+)'",
        "{{% {open} %}} is not closed yet: write {{% end{open} %}} before {{% {tag} %}}",
    ),
    (
        r"Encountered unknown tag '(?P<tag>else|elif)'\.$",
        "{{% {tag} %}} has no {{% if %}} before it",
    ),
    (
        r"Encountered unknown tag 'end(?P<tag>if|for)'",
        "{{% end{tag} %}} has no {{% {tag} %}} before it",
    ),
    (r"Encountered unknown tag '(?P<tag>\w+)'", "{{% {tag} %}} is not available in messages"),
    (r"Missing end of comment", "{{# is not closed: write #}} where the remark ends"),
    (r"Missing end of raw", "{{% raw %}} is not closed: write {{% endraw %}} where it ends"),
    (
        r"unexpected end of template, expected '(?P<end>end of [ps]\w+ \w+)'",
        "this is not closed: write {end} where it ends",
    ),
    (
        r"unexpected end of template, expected '(?P<end>.+?)'",
        "“{end}” is missing at the end",
    ),
    (r"Expected an expression, got '(?P<end>.+)'", "something is missing before {end}"),
    (
        r"expected token 'end of statement block', got '='",
        "“=” does not compare: write == instead",
    ),
    (
        r"expected token 'end of print statement', got '(?P<text>.+)'",
        "“{text}” is not expected here: a name is one word, and after it comes }}}} or |",
    ),
    (r"expected token 'name', got '(?P<text>.+)'", "a name is missing before {text}"),
    (
        r"expected token 'in', got",
        "“in” is missing: a loop is written {{% for item in items %}}",
    ),
    (r"can't assign to", "a loop is written {{% for item in items %}}"),
    (r"tag name expected", "after {{% comes a word such as if or for"),
    (r"expected name or number", "a name is missing after the dot"),
    (r"You cannot chain multiple tests", "only one “is” can follow a name"),
    (
        r"expected token '(?P<end>.+)', got '(?P<text>.+)'",
        "“{text}” is not expected before {end}",
    ),
    (r"unexpected char ['\"][\"']['\"]", "a quotation mark is not closed"),
    (
        r"unexpected char '([“”„‘’«»])'",
        "a curly quotation mark is none here: write ' or \"",
    ),
    (r"unexpected char '(?P<text>.+)' at", "“{text}” cannot be written here"),
    (
        r"unexpected '(?P<text>.+)', expected '(?P<end>.+)'",
        "“{end}” is missing before “{text}”",
    ),
    (r"unexpected '(?P<text>.+)'", "“{text}” is not expected here"),
)
