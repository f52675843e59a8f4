"""The table of settings in docs/operations.md, from the code that reads them.

`settings_table.py` writes it, `settings_table.py --check` says what differs. A setting is described
by the comment directly above the line that reads it, in the section of the last `# --- Name ---`.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "operations.md"
SETTINGS = ROOT / "site_config" / "settings"
# In the order of the table. The launcher reads what local_environment.py reads.
FILES = (
    *(SETTINGS / f"{name}.py" for name in ("base", "celery", "mailer", "production", "local")),
    *(ROOT / "site_config" / f"{name}.py" for name in ("local_environment", "launch", "flower")),
)
START, END = "<!-- settings: scripts/settings_table.py -->", "<!-- end of settings -->"
REQUIRED = object()
_NAME = re.compile(r"[A-Z][A-Z0-9_]+")
_SECTION = re.compile(r"# --- (.+?) -*$")


@dataclass(frozen=True)
class Setting:
    """One place that reads it; `description` is empty where no comment stands above."""

    name: str
    default: Any
    section: str
    description: str
    place: str


def main(arguments: list[str]) -> int:
    document = DOCUMENT.read_text(encoding="utf-8")
    before, middle, after = split(document)
    table = render(read_settings(FILES))
    if "--check" not in arguments:
        DOCUMENT.write_text(f"{before}{START}\n{table}\n{END}{after}", encoding="utf-8")
        return 0
    differing = names_in(set(table.splitlines()) ^ set(middle.strip().splitlines()))
    if table != middle.strip():
        what = f"is not what the settings say: {', '.join(differing) or 'their order'}"
        print(f"The table in docs/operations.md {what}. Run: python scripts/settings_table.py")
        return 1
    return 0


def split(document: str) -> tuple[str, str, str]:
    """What stands before, between and after the markers."""
    before, start, rest = document.partition(START)
    middle, end, after = rest.partition(END)
    if not start or not end:
        sys.exit(f"docs/operations.md lacks {START} or {END}.")
    return before, middle, after


def names_in(lines: set[str]) -> list[str]:
    return sorted({name for line in lines for name in re.findall(r"^\| `(\w+)`", line)})


def read_settings(files: tuple[Path, ...]) -> list[Setting]:
    """Each place that reads a value from the environment, in the order of the files."""
    return [setting for file in files for setting in _read_file(file)]


def _read_file(file: Path) -> Iterator[Setting]:
    text = file.read_text(encoding="utf-8")
    lines = [line.strip() for line in text.splitlines()]
    found = [reading for node in ast.walk(ast.parse(text)) for reading in _readings(node)]
    for number, name, default in sorted(found, key=lambda reading: reading[0]):
        above = number - 1
        while above and lines[above - 1].startswith("# ") and not _SECTION.match(lines[above - 1]):
            above -= 1
        words = " ".join(line.removeprefix("# ") for line in lines[above : number - 1])
        sections = [match[1] for line in lines[:number] if (match := _SECTION.match(line))]
        place = f"{file.name}:{number}"
        yield Setting(name, default, sections[-1] if sections else "", words, place)


def _readings(node: ast.AST) -> Iterator[tuple[int, str, Any]]:
    """(line, name, default) of what a node reads: a call, or the entries of a table of defaults."""
    if isinstance(node, ast.Call) and _reads(node.func) and node.args:
        named = {word.arg: word.value for word in node.keywords}
        switch = getattr(node.func, "id", "") == "read_switch"
        default = [*node.args[1:2], *([named["default"]] if "default" in named else [])]
        if name := _name(node.args[0]):
            without = False if switch else REQUIRED
            yield node.lineno, name, ast.literal_eval(default[0]) if default else without
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
        for key, value in zip(node.value.keys, node.value.values, strict=True):
            if getattr(node.targets[0], "id", "") in {"DEFAULTS", "PORTS"} and key is not None:
                yield key.lineno, _name(key), ast.literal_eval(value)


def _reads(function: ast.expr) -> bool:
    """env.str(…), read_key(…), environ.get(…)."""
    if isinstance(function, ast.Name):
        return function.id.startswith("read_")
    if not isinstance(function, ast.Attribute):
        return False
    asked = getattr(function.value, "id", "") or getattr(function.value, "attr", "")
    return asked == "env" or (function.attr == "get" and asked in {"environ", "environment"})


def _name(node: ast.expr) -> str:
    value = node.value if isinstance(node, ast.Constant) else ""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""


def render(settings: list[Setting]) -> str:
    """A table for each section; of a name that is read in several places, the described one."""
    described = [setting for setting in settings if setting.description]
    sections = dict.fromkeys(setting.section for setting in described)
    return "\n\n".join(
        f"### {section}\n\n| name | without it | what it is |\n|---|---|---|\n"
        + "\n".join(_row(setting) for setting in described if setting.section == section)
        for section in sections
    )


def _row(setting: Setting) -> str:
    return f"| `{setting.name}` | {in_words(setting.default)} | {setting.description} |"


def in_words(default: Any) -> str:
    """A default as a person would write it."""
    if default is REQUIRED:
        return "required"
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, int | float):
        return str(default)
    return f"`{default}`" if default else "none"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
