"""What README and docs/ name is there: links, commands, settings, and the words of the log."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.settings_table import FILES, read_settings
from tests.readme.checkout import ROOT

DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SETTINGS = {setting.name for setting in read_settings(FILES) if setting.description}
# Django's, Flower's and those of the containers: read by them, not by us.
OTHERS = {
    "DJANGO_SETTINGS_MODULE", "FLOWER_", "FLOWER_READ_ONLY", "COMPOSE_FILE", "MAIL_BROKER_PASSWORD",
    "MAIL_DB_PASSWORD", "TEST_BROKER_URL",
}  # fmt: skip
SOURCES = [
    path
    for app in ("mailer", "admin_ext", "site_config")
    for path in (ROOT / app).rglob("*.py")
    if "tests" not in path.parts
]


def targets() -> set[str]:
    return set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))


def commands(text: str) -> list[str]:
    """The lines of the fenced sh blocks."""
    blocks = re.findall(r"(?ms)^```sh\n(.*?)^```", text)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_the_two_commands_stand_alone_in_readme() -> None:
    assert [line for line in commands(README) if line.startswith("make")] == [
        "make demo",
        "make test",
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_named_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    quoted = [*re.findall(r"`([^`\n]+)`", text), *commands(text)]
    named = {name for words in quoted for name in re.findall(r"\bmake ([a-z-]+)", words)}
    assert named <= targets()


def test_every_target_says_what_it_is_for() -> None:
    described = re.findall(r"(?m)^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text())
    assert targets() - set(described) == {"venv", "venv-dev"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_management_command_named_exists(document: Path) -> None:
    named = re.findall(r"manage\.py ([a-z_]+)", document.read_text(encoding="utf-8"))
    ours = {path.stem for path in ROOT.glob("*/management/commands/*.py")}
    assert set(named) <= ours | {
        "check",
        "collectstatic",
        "createsuperuser",
        "loaddata",
        "migrate",
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^):\s]+)\)", document.read_text(encoding="utf-8"))
    gone = [link for link in links if not leads_somewhere(link, document)]
    assert gone == []


def leads_somewhere(link: str, document: Path) -> bool:
    path, _, heading = link.partition("#")
    target = document.parent / path if path else document
    if not heading:
        return target.exists()
    titles = re.findall(r"(?m)^#+ (.+)$", target.read_text(encoding="utf-8"))
    return heading in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_setting_named_is_in_the_table(document: Path) -> None:
    quoted = re.findall(r"`([^`\n]+)`", document.read_text(encoding="utf-8"))
    named = {name for words in quoted for name in re.findall(r"^\$?([A-Z]+_[A-Z_]+)\b", words)}
    assert named - SETTINGS <= OTHERS


def test_operations_has_every_warning_in_its_own_words() -> None:
    """Whatever the code logs as a warning or worse, an operator finds by its words."""
    found = [line for path in SOURCES for line in warnings_in(path)]
    assert len(found) > 10, "the test itself is blind"
    assert [line for line in found if f"`{line}`" not in OPERATIONS] == []


def warnings_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        words = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if re.fullmatch(r"log(ger)?\.(warning|error|exception|critical)", words):
            assert isinstance(node, ast.Call)
            assert isinstance(node.args[0], ast.Constant), path
            yield re.sub(r"%[sd]", "…", node.args[0].value)


def test_operations_names_every_process_of_the_procfile() -> None:
    queues = re.findall(r"-Q (?:\$\{QUEUE_PREFIX\})?([a-z]+)", (ROOT / "Procfile").read_text())
    assert queues == re.findall(r"-Q ([a-z]+)", OPERATIONS)
