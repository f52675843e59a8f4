"""minijinja with everything removed that is not on a short list, and what its errors mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import minijinja

from mailer.engine.template_check import FILTERS, TESTS
from mailer.engine.values import Items

Part = Literal["subject", "html", "text", "values"]

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


class TooLongError(Exception):
    """The values printed so far are longer than any part may be."""


def bare_environment() -> minijinja.Environment:
    """One without templates, loader and functions; names that end in .html are escaped.

    Its join raises TooLongError.
    """
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
    environment.add_filter("join", _join)
    return environment


def _join(items: object, separator: object = "") -> str:
    # The built-in joins a text's letters too: joined three times over, that fills the memory.
    if not isinstance(items, Items):
        raise minijinja.TemplateError("join needs a list")
    words, between = [str(item) for item in items], "" if separator is None else str(separator)
    if sum(map(len, words)) + len(between) * len(words) > OUTPUT_LIMITS["html"]:
        raise TooLongError
    return between.join(words)


def is_of_rendering(error: BaseException) -> bool:
    """Whether rendering came to no good, rather than the process."""
    # One person's value may make minijinja panic (a division by zero did): that is this message's
    # problem, not its neighbours'.
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def plain_reason(error: minijinja.TemplateError) -> str:
    """What went wrong, for staff."""
    detail = error.detail or ""
    if missing := _UNDEFINED.search(detail):
        return f"{missing[1]} is missing"
    if error.kind == "UndefinedError":
        return "a value is missing"
    if error.kind == "OutOfFuel":
        return "too many steps; are there loops within loops?"
    return detail or error.message
