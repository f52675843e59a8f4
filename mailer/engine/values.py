"""What a template may see: plain JSON data of a bounded size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CHARACTER_LIMIT = 64_000  # of all keys and strings of one recipient together
ITEM_LIMIT = 2_000  # values of one recipient, lists' items included
DEPTH_LIMIT = 6
_INTEGER_LIMIT = 2**63


class PlainDataError(ValueError):
    """A recipient's value that a template must not see; says why in plain words."""


class _Values:
    """The values of a JSON object or array, and nothing else: of a dict or a list, minijinja would
    give a template the methods too."""

    __slots__ = ("_values",)

    def __init__(self, values: Any) -> None:
        self._values = values

    def __getitem__(self, key: Any) -> object:
        return self._values[key]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[object]:
        return iter(self._values)

    def __repr__(self) -> str:
        return repr(self._values)


class Record(_Values):
    """A JSON object; made of a dict."""

    __slots__ = ()


class Items(_Values):
    """A JSON array; made of a list."""

    __slots__ = ()


# It is by these that minijinja knows what can be looked up in and looped over.
Mapping.register(Record)
Sequence.register(Items)


def plain_values(variables: Mapping[str, object]) -> dict[str, object]:
    """A copy made of str, int, float, bool, Items and Record, null as "". Raises PlainDataError."""
    budget = _Budget()
    return {budget.key(key): budget.copy(value, 1) for key, value in variables.items()}


class _Budget:
    """Counts what was copied, so that the sum over all values is capped."""

    def __init__(self) -> None:
        self.characters = CHARACTER_LIMIT
        self.items = ITEM_LIMIT

    def key(self, key: object) -> str:
        if not isinstance(key, str):
            raise PlainDataError("a name is not text")
        return self.text(key)

    def text(self, text: str) -> str:
        self.characters -= len(text)
        if self.characters < 0:
            raise PlainDataError(f"the values are longer than {CHARACTER_LIMIT:,} characters")
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise PlainDataError("a value holds half a surrogate pair") from error
        return text

    def copy(self, value: object, depth: int) -> object:  # noqa: PLR0911 (one a type)
        # Types are compared exactly: a subclass may bring behaviour along, such as __html__.
        kind = type(value)
        self.items -= 1
        if self.items < 0:
            raise PlainDataError(f"more than {ITEM_LIMIT:,} values")
        if value is None:
            return ""  # a template would print "None", and upper make it "NONE"
        if kind is str:
            return self.text(value)  # type: ignore[arg-type]
        if kind is bool:
            return value
        if kind is int and abs(value) < _INTEGER_LIMIT:  # type: ignore[arg-type]
            return value
        if kind is float and math.isfinite(value):  # type: ignore[arg-type]
            return value
        if depth > DEPTH_LIMIT:
            raise PlainDataError("a value is nested too deeply")
        if isinstance(value, list):
            return Items([self.copy(item, depth + 1) for item in value])
        if isinstance(value, dict):
            return Record({self.key(k): self.copy(item, depth + 1) for k, item in value.items()})
        raise PlainDataError(f"a value is not plain data ({kind.__name__})")
