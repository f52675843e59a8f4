"""Render a message for one recipient: minijinja over plain data, with everything else removed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import minijinja

from mailer.engine.bodies import Body, write_body
from mailer.engine.environment import (
    OUTPUT_LIMITS,
    Part,
    TooLongError,
    bare_environment,
    is_of_rendering,
    plain_reason,
)
from mailer.engine.fixed_part import fixed_octets
from mailer.engine.stencil import Stencil, make_stencil
from mailer.engine.template_check import Problem, check_template, placeholders
from mailer.engine.text_part import NoTextError, text_from_html
from mailer.engine.text_template import text_template
from mailer.engine.values import PlainDataError, plain_values

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

_FEW = 50  # values that, printed once each, cannot fill the memory: PlainDataError comes first


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


def compile_content(content: Content) -> Renderer:
    """Check and compile a message. Raises TemplateProblem for the first error found."""
    try:
        return _compile(content)
    except TemplateProblem:
        raise
    except BaseException as error:
        if not is_of_rendering(error):
            raise
        # A mistake of ours, but the same each time: it is said, and nothing waits for the next try.
        reason = f"this cannot be read ({type(error).__name__}: {error})"
        raise TemplateProblem("html" if content.html.strip() else "text", None, reason) from error


def _compile(content: Content) -> Renderer:
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
        self._environment = bare_environment()
        if any(_is_looked_at(source) for _, source in _parts(content)):
            self._environment.finalizer = self._look
        self._html = bool(content.html.strip())
        # Made once from the template where that is exact; converting each message costs 10 ms.
        text = content.text if content.text.strip() else _text_template(content.html)
        self._text = text is not None
        self._bodies = (content.html, text or "")
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
        text = self._render("text", values) if self._text else _text_of(html)
        return Rendered(subject, html, text)

    def write(self, variables: Mapping[str, object]) -> Written:
        """As render(), with the bodies as octets. Raises TemplateProblem."""
        values = _plain(variables)
        if self._stencil is not None and (written := self._fill(self._stencil, values)):
            return written
        return self._render_all(values).written()

    def fixed_octets(self) -> int:
        """Of the bodies of every message, at least, whoever it is for."""
        return sum(map(fixed_octets, self._bodies))

    def _fill(self, stencil: Stencil, values: dict[str, object]) -> Written | None:
        """None where it takes the whole template to do it, or to say what is wrong."""
        self._printed.characters = 0
        try:
            plain = self._environment.render_template(_PLAIN, **values)
            escaped = self._environment.render_template(_ESCAPED, **values)
        except BaseException as error:
            if is_of_rendering(error):
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
            raise TemplateProblem(part, error.line, plain_reason(error)) from error

    def _render(self, part: Part, values: dict[str, object]) -> str:
        self._printed.characters = 0
        try:
            output: str = self._environment.render_template(_NAMES[part], **values)
        except minijinja.TemplateError as error:
            raise TemplateProblem(part, error.line, plain_reason(error)) from error
        except TooLongError as error:
            raise TemplateProblem(part, None, _too_long(part)) from error
        except BaseException as error:
            if is_of_rendering(error):
                raise TemplateProblem(part, None, "a value does not fit its use") from None
            raise
        if len(output) > OUTPUT_LIMITS[part]:
            raise TemplateProblem(part, None, _too_long(part))
        return output

    def _look(self, value: object) -> object:
        """What is printed of each value."""
        if value is None:
            return ""  # values hold none, but a template may
        # minijinja has no cap on its output, and its fuel counts steps, not characters.
        self._printed.characters += 20 if isinstance(value, (int, float)) else len(str(value))
        if self._printed.characters > OUTPUT_LIMITS["html"]:
            raise TooLongError
        return value


# The ending decides about escaping.
_NAMES: Mapping[Part, str] = {"subject": "subject.txt", "html": "message.html", "text": "text.txt"}
_NO_TEXT = "no text can be made of this HTML: write the plain text too"
_PLAIN, _ESCAPED = "values.txt", "values.html"


def _plain(variables: Mapping[str, object]) -> dict[str, object]:
    try:
        return plain_values(variables)
    except PlainDataError as error:
        raise TemplateProblem("values", None, str(error)) from error


def _text_template(html: str) -> str | None:
    try:
        return text_template(html)
    except NoTextError as error:
        raise TemplateProblem("text", None, _NO_TEXT) from error


def _text_of(html: str) -> str:
    try:
        text = text_from_html(html)
    except NoTextError as error:
        raise TemplateProblem("text", None, _NO_TEXT) from error
    if len(text) > OUTPUT_LIMITS["text"]:
        raise TemplateProblem("text", None, _too_long("text"))
    return text


def _is_looked_at(source: str) -> bool:
    may_grow = "{%" in source or "|" in source or source.count("{{") > _FEW
    return may_grow or "none" in source.lower()


def _parts(content: Content) -> list[tuple[Part, str]]:
    return [("subject", content.subject), ("html", content.html), ("text", content.text)]


def _one_line(subject: str) -> str:
    # A line break in a subject would begin a header; every kind of white space is one space.
    return " ".join(subject.split())


def _too_long(part: Part) -> str:
    return f"the result is longer than {OUTPUT_LIMITS[part]:,} characters"
