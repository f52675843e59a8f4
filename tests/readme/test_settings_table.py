"""The table of settings holds everything that is read from the environment, and says what it is."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from scripts import settings_table
from scripts.settings_table import FILES, REQUIRED, Setting, in_words, read_settings, render
from tests.readme.checkout import ROOT

SETTINGS = read_settings(FILES)
DESCRIBED = {setting.name: setting for setting in SETTINGS if setting.description}
# Read, and no setting of ours: the shell's, make's and Django's own.
NOT_OURS = {"PATH", "MAKELEVEL", "DJANGO_SETTINGS_MODULE"}
# Of the containers in compose.yaml, or of docker compose itself.
OF_COMPOSE = {"MAIL_DB_PASSWORD", "MAIL_BROKER_PASSWORD", "COMPOSE_FILE"}


def read_example() -> set[str]:
    """The names in .env.example, those behind a # as well."""
    return set(re.findall(r"(?m)^#?([A-Z_]+)=", (ROOT / ".env.example").read_text()))


def names_read(file: Path) -> set[str]:
    """Whatever is asked of env, environ or environment by name, however it is asked."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            words, name = ast.unparse(node.func), node.args[0]
            asks = re.search(r"\b(env|environ|environment|os)\.\w+$|\bread_\w+$", words)
        elif isinstance(node, ast.Subscript):
            words, name = ast.unparse(node.value), node.slice
            asks = re.search(r"\b(environ|environment)$", words)
        elif isinstance(node, ast.Compare):
            words, name = ast.unparse(node.comparators[0]), node.left
            asks = re.search(r"\b(environ|environment)$", words)
        else:
            continue
        if asks and isinstance(name, ast.Constant) and not is_written(node):
            found.add(str(name.value))
    return found


def is_written(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)


def test_every_name_that_is_read_is_in_the_table() -> None:
    read: set[str] = set()
    for file in ROOT.glob("site_config/**/*.py"):
        if "tests" not in file.parts and file.name != "test.py":
            read |= {name for name in names_read(file) if re.fullmatch(r"[A-Z][A-Z0-9_]+", name)}
    assert {"SECRET_KEY", "PORT", "FLOWER_DB", "MAKELEVEL"} <= read, "the test itself is blind"
    assert read - DESCRIBED.keys() == NOT_OURS


def test_no_name_has_two_defaults_or_two_descriptions() -> None:
    defaults: dict[str, set[str]] = defaultdict(set)
    descriptions: dict[str, list[str]] = defaultdict(list)
    for setting in SETTINGS:
        # What a table of defaults has filled in may be asked for without one.
        if setting.default is not REQUIRED or setting.description:
            defaults[setting.name].add(in_words(setting.default))
        if setting.description:
            descriptions[setting.name].append(setting.place)
    assert {name: found for name, found in defaults.items() if len(found) > 1} == {}
    assert {name: found for name, found in descriptions.items() if len(found) > 1} == {}


def test_every_description_is_one() -> None:
    for setting in DESCRIBED.values():
        assert setting.section, setting.place
        assert re.match(r"[A-Z0-9`]", setting.description), setting.place
        assert setting.description.endswith("."), setting.place
        assert "|" not in setting.description, setting.place


def test_the_document_is_up_to_date() -> None:
    assert settings_table.main(["--check"]) == 0


def test_check_names_what_differs_and_writing_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "operations.md"
    text = settings_table.DOCUMENT.read_text(encoding="utf-8")
    copy.write_text(text.replace("| `RESULT_DAYS` | 30 |", "| `RESULT_DAYS` | 31 |"))
    monkeypatch.setattr(settings_table, "DOCUMENT", copy)
    assert settings_table.main(["--check"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert "is not what the settings say: RESULT_DAYS." in line
    assert line.endswith("Run: python scripts/settings_table.py")
    assert settings_table.main([]) == 0
    assert copy.read_text(encoding="utf-8") == text

    copy.write_text("nothing of the kind")
    with pytest.raises(SystemExit, match="lacks <!-- settings"):
        settings_table.main([])


def test_a_file_is_read_as_a_person_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "settings.py"
    file.write_text(
        "# --- First ----\n"
        "# Two lines\n"
        "# of words.\n"
        'A_KEY = read_key("A_KEY")\n'
        "\n"
        'HIDDEN = env.str("HIDDEN", "x")\n'
        "# --- Second ---\n"
        "# On or off.\n"
        'SWITCH = read_switch("SWITCH")\n'
        "# Which ones.\n"
        'NAMES = env.list("NAMES", default=[])\n'
        "DEFAULTS = {\n"
        "    # A port.\n"
        '    "SOME_PORT": "5555",\n'
        "}\n"
    )
    assert read_settings((file,)) == [
        Setting("A_KEY", REQUIRED, "First", "Two lines of words.", "settings.py:4"),
        Setting("HIDDEN", "x", "First", "", "settings.py:6"),
        Setting("SWITCH", False, "Second", "On or off.", "settings.py:9"),
        Setting("NAMES", [], "Second", "Which ones.", "settings.py:11"),
        Setting("SOME_PORT", "5555", "Second", "A port.", "settings.py:14"),
    ]
    assert [line for line in render(read_settings((file,))).splitlines() if "`" in line] == [
        "| `A_KEY` | required | Two lines of words. |",
        "| `SWITCH` | off | On or off. |",
        "| `NAMES` | none | Which ones. |",
        "| `SOME_PORT` | `5555` | A port. |",
    ]


def test_the_example_has_every_required_setting_and_no_unknown_one() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    made_by_compose = services["x-site"]["environment"].keys()
    required = {name for name, setting in DESCRIBED.items() if setting.default is REQUIRED}
    assert required - made_by_compose <= read_example()
    assert read_example() - OF_COMPOSE <= DESCRIBED.keys()
