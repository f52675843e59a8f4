"""Render a message for one recipient: minijinja over plain data, with everything else removed."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import minijinja

from mailer.engine.bodies import Body, write_body
from mailer.engine.stencil import Stencil, make_stencil
from mailer.engine.template_check import (
    FILTERS,
    TESTS,
    Problem,
    check_template,
    placeholders,
)
from mailer.engine.text_part import text_from_html, text_template
from mailer.engine.values import Items, PlainDataError, plain_values

__all__ = [
    "Content",
    "Problem",
    "Rendered",
    "Renderer",
    "TemplateProblem",
    "Written",
    "check_template",
    "compile_content",
    "placeholders",
]

Part = Literal["subject", "html", "text", "values"]

_FEW = 50  # values that, printed once each, cannot fill the memory: PlainDataError comes first
FUEL = 20_000  # instructions of one part
OUTPUT_LIMITS: Mapping[Part, int] = {"subject": 500, "html": 2_000_000, "text": 1_000_000}

# Everything minijinja brings; a test fails when a new version brings more.
_BUILT_IN_FILTERS = frozenset(
    """abs attr batch bool capitalize chain count d default dictsort e escape filesizeformat first
    float format groupby indent int items join keys last length lines list lower map max min
    pluralize pprint reject rejectattr replace reverse round safe select selectattr slice sort
    split string striptags sum title tojson trim truncate unique upper urlencode values
    wordcount wordwrap zip""".split()  # noqa: SIM905 (one a line otherwise)
)
_BUILT_IN_TESTS = frozenset(
    """boolean defined divisibleby endingwith eq equalto escaped even false filter float ge
    greaterthan gt in int integer iterable le lessthan lower lt mapping ne none number odd safe
    sameas sequence startingwith string test true undefined upper""".split()  # noqa: SIM905 (one a line otherwise)
)
_UNDEFINED = re.compile(r"`([^`]+)` is undefined")


@dataclass(frozen=True, slots=True)
class Content:
    """The templates of one message. Either `html` or `text` may be empty, not both."""

    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """One recipient's message. `html` is empty in a text-only message."""

    subject: str
    html: str
    text: str

    def written(self) -> Written:
        html = write_body(self.html) if self.html else None
        return Written(self.subject, html, write_body(self.text))


@dataclass(frozen=True, slots=True)
class Written:
    """One recipient's message as the wire wants its bodies; `html` is None where there is none."""

    subject: str
    html: Body | None
    text: Body


class TemplateProblem(Exception):
    """A message that cannot be rendered: which part, its line if known, why in plain words."""

    def __init__(self, part: Part, line: int | None, reason: str) -> None:
        super().__init__(part, line, reason)
        self.part = part
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        where = f"{self.part}, line {self.line}" if self.line else self.part
        return f"{where}: {self.reason}"


class _TooLongError(Exception):
    """The values printed so far are longer than any part may be."""


def compile_content(content: Content) -> Renderer:
    """Check and compile a message. Raises TemplateProblem for the first error found."""
    if not content.html.strip() and not content.text.strip():
        raise TemplateProblem("text", None, "the message is empty")
    for part, source in _parts(content):
        for problem in check_template(source, html=part == "html"):
            if problem.kind == "error":
                raise TemplateProblem(part, problem.line, problem.reason)
    return Renderer(content)


class Renderer:
    """Renders one checked Content; made by compile_content. Threads may share it."""

    def __init__(self, content: Content) -> None:
        self._printed = threading.local()
        self._environment = _bare_environment()
        if any(_may_grow(source) for _, source in _parts(content)):
            self._environment.finalizer = self._count
        self._environment.add_filter("join", _join)
        self._html = bool(content.html.strip())
        # Made once from the template where that is exact; converting each message costs 10 ms.
        text = content.text if content.text.strip() else text_template(content.html)
        self._text = text is not None
        for name, source in (("subject", content.subject), ("html", content.html), ("text", text)):
            if source is not None:
                self._add(name, source)  # type: ignore[arg-type]
        self._stencil = make_stencil(content.subject, content.html if self._html else None, text)
        if self._stencil is not None:
            self._environment.add_template(_PLAIN, self._stencil.plain)
            self._environment.add_template(_ESCAPED, self._stencil.escaped)

    def render(self, variables: Mapping[str, object]) -> Rendered:
        """Render for one recipient's plain JSON data.

        Raises TemplateProblem, naming a placeholder the recipient lacks.
        """
        return self._render_all(_plain(variables))

    def _render_all(self, values: dict[str, object]) -> Rendered:
        subject = _one_line(self._render("subject", values))
        html = self._render("html", values) if self._html else ""
        text = self._render("text", values) if self._text else text_from_html(html)
        return Rendered(subject, html, text)

    def write(self, variables: Mapping[str, object]) -> Written:
        """As render(), with the bodies as octets. Raises TemplateProblem."""
        values = _plain(variables)
        if self._stencil is not None and (written := self._fill(self._stencil, values)):
            return written
        return self._render_all(values).written()

    def _fill(self, stencil: Stencil, values: dict[str, object]) -> Written | None:
        """None where it takes the whole template to do it, or to say what is wrong."""
        self._printed.characters = 0
        try:
            plain = self._environment.render_template(_PLAIN, **values)
            escaped = self._environment.render_template(_ESCAPED, **values)
        except BaseException as error:
            if _is_of_rendering(error):
                return None
            raise
        filled = stencil.fill(plain, escaped)
        if filled is None or len(filled[0]) > OUTPUT_LIMITS["subject"]:
            return None
        return Written(_one_line(filled[0]), *filled[1:])

    def _add(self, part: Part, source: str) -> None:
        # As it goes on the wire, so that no message has to be turned into that.
        source = source.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
        try:
            self._environment.add_template(_NAMES[part], source)
        except minijinja.TemplateError as error:
            raise TemplateProblem(part, error.line, _plain_reason(error)) from error

    def _render(self, part: Part, values: dict[str, object]) -> str:
        self._printed.characters = 0
        try:
            output: str = self._environment.render_template(_NAMES[part], **values)
        except minijinja.TemplateError as error:
            raise TemplateProblem(part, error.line, _plain_reason(error)) from error
        except _TooLongError as error:
            raise TemplateProblem(part, None, _too_long(part)) from error
        except BaseException as error:
            if _is_of_rendering(error):
                raise TemplateProblem(part, None, "a value does not fit its use") from None
            raise
        if len(output) > OUTPUT_LIMITS[part]:
            raise TemplateProblem(part, None, _too_long(part))
        return output

    def _count(self, value: object) -> object:
        # minijinja has no cap on its output, and its fuel counts steps, not characters.
        self._printed.characters += 20 if isinstance(value, (int, float)) else len(str(value))
        if self._printed.characters > OUTPUT_LIMITS["html"]:
            raise _TooLongError
        return value


# The ending decides about escaping.
_NAMES: Mapping[Part, str] = {"subject": "subject.txt", "html": "message.html", "text": "text.txt"}
_PLAIN, _ESCAPED = "values.txt", "values.html"


def _bare_environment() -> minijinja.Environment:
    # semi_strict: a missing placeholder is an error, but {% if x %} and |default may ask for it.
    environment: minijinja.Environment = minijinja.Environment(  # type: ignore[call-overload]
        undefined_behavior="semi_strict",  # the stubs do not know it yet
        fuel=FUEL,
        pycompat=False,
        auto_escape_callback=lambda name: name.endswith(".html"),
        keep_trailing_newline=True,
    )
    for name in _BUILT_IN_FILTERS - FILTERS:
        environment.remove_filter(name)
    for name in _BUILT_IN_TESTS - TESTS:
        environment.remove_test(name)
    for name in environment.globals:
        environment.remove_global(name)
    return environment


def _join(items: object, separator: object = "") -> str:
    # The built-in joins a text's letters too: joined three times over, that fills the memory.
    if not isinstance(items, Items):
        raise minijinja.TemplateError("join needs a list")
    words, between = [str(item) for item in items], str(separator)
    if sum(map(len, words)) + len(between) * len(words) > OUTPUT_LIMITS["html"]:
        raise _TooLongError
    return between.join(words)


def _plain(variables: Mapping[str, object]) -> dict[str, object]:
    try:
        return plain_values(variables)
    except PlainDataError as error:
        raise TemplateProblem("values", None, str(error)) from error


def _may_grow(source: str) -> bool:
    return "{%" in source or "|" in source or source.count("{{") > _FEW


def _parts(content: Content) -> list[tuple[Part, str]]:
    return [("subject", content.subject), ("html", content.html), ("text", content.text)]


def _one_line(subject: str) -> str:
    # A line break in a subject would begin a header; every kind of white space is one space.
    return " ".join(subject.split())


def _is_of_rendering(error: BaseException) -> bool:
    # One person's value may make minijinja panic (a division by zero did): that is this message's
    # problem, not its neighbours'.
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _too_long(part: Part) -> str:
    return f"the result is longer than {OUTPUT_LIMITS[part]:,} characters"


def _plain_reason(error: minijinja.TemplateError) -> str:
    detail = error.detail or ""
    if missing := _UNDEFINED.search(detail):
        return f"{missing[1]} is missing"
    if error.kind == "UndefinedError":
        return "a value is missing"
    if error.kind == "OutOfFuel":
        return "too many steps; are there loops within loops?"
    return detail or error.message
