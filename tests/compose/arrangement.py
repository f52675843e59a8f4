"""compose.yaml as compose reads it: its variables filled in, its override merged."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
APPLICATION = ("migrate", "web", "worker", "control", "beat", "flower")
_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_]\w*)"
    r"|\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-?])(?P<rest>[^}]*))?\}|(?P<wrong>))"
)


class _Loader(yaml.SafeLoader):
    """With compose's own tag: what the file before said of this is taken back."""


class _Reset(list[Any]):
    pass


_Loader.add_constructor("!reset", lambda *_: _Reset())


class UnresolvedError(Exception):
    """compose would refuse to start, or fill in nothing where something was meant."""


def read_values(text: str) -> dict[str, str]:
    """The NAME=value lines of an .env file."""
    lines = (line.partition("=") for line in text.splitlines() if line and line[0] != "#")
    return {name: value for name, _, value in lines}


def resolve(node: Any, values: Mapping[str, str]) -> Any:
    """Fill in ${X}, ${X:-default}, ${X:?message} and $$ everywhere. Raises UnresolvedError."""
    if isinstance(node, dict):
        return {key: resolve(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [resolve(value, values) for value in node]
    if isinstance(node, str):
        return _VARIABLE.sub(lambda found: _value(found, values), node)
    return node


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    if found["dollar"]:
        return "$"
    name = found["plain"] or found["name"]
    if name is None:
        raise UnresolvedError(f"not a variable: {found.string}")
    how, rest = found["how"] or "", found["rest"] or ""
    if values.get(name) or (name in values and not how.startswith(":")):
        return values[name]
    if how.endswith("-"):
        return rest
    raise UnresolvedError(rest if how else f"{name} is nowhere set")


def merge(base: Any, over: Any, *, under: str = "") -> Any:
    """What compose makes of two files: mappings merge, lists add up, commands are replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        both = {key: merge(base[key], over[key], under=key) for key in base.keys() & over.keys()}
        return base | over | both
    if isinstance(over, _Reset):
        return []
    if isinstance(base, list) and isinstance(over, list) and under not in {"command", "test"}:
        return base + over
    return over


def read_raw(*names: str) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name in names or ("compose.yaml",):
        read = merge(read, yaml.load((ROOT / name).read_text(encoding="utf-8"), _Loader))
    return read


def read_services(values: Mapping[str, str], *names: str) -> dict[str, Any]:
    """The services of the named files (compose.yaml), ready to be started."""
    services: dict[str, Any] = resolve(read_raw(*names), values)["services"]
    return services


def seconds(text: str) -> int:
    """A duration as they stand here: 30s."""
    number, unit = text[:-1], text[-1:]
    assert unit == "s", text
    return int(number)
