"""scripts/make_venv.py: one clear line for what is missing, and nothing done twice."""

import ast
import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path
from types import ModuleType

import pytest

from tests.readme.checkout import ROOT, clean_environment

SCRIPT = ROOT / "scripts" / "make_venv.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_venv", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, at work in a folder of its own that asks for nothing."""
    monkeypatch.delenv("VENV_FOLDER", raising=False)
    module = load()
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    monkeypatch.setattr(module, "VENV", str(tmp_path / ".venv"))
    monkeypatch.setattr(module, "VENV_PYTHON", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.setattr(module, "STAMP", str(tmp_path / ".venv" / "installed.txt"))
    (tmp_path / "requirements.txt").write_text("# nothing\n")
    (tmp_path / "requirements-dev.txt").write_text("# nothing either\n")
    return module


def test_an_old_python_can_read_it() -> None:
    source = SCRIPT.read_text()
    assert source.isascii(), "Python 2 asks for a declaration otherwise"
    tree = ast.parse(source, feature_version=(3, 4))
    modern = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.AsyncFunctionDef, ast.Nonlocal)
    assert not [node for node in ast.walk(tree) if isinstance(node, modern)]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert not [f.name for f in functions if f.returns or f.args.kwonlyargs]


def test_an_old_python_is_named_with_what_to_do(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(script.CannotMakeError) as problem:
        script.check_python((3, 9))
    assert str(problem.value) == (
        f"Mailroom needs Python 3.11 or newer, {sys.executable} is 3.9. "
        "Install one and name it: PYTHON=/path/to/python3.12"
    )


def test_a_newer_python_beside_it_is_named(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, code in (("python3.12", 0), ("python3.13", 127)):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(script.CannotMakeError, match=r"PYTHON=python3\.12$"):
        script.check_python((2, 7))


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_missing_module_is_named_with_what_to_install(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(script.CannotMakeError) as problem:
        script.check_modules()
    assert f"lacks the module {module}" in str(problem.value)
    assert "apt install python3-venv" in str(problem.value)
    assert "\n" not in str(problem.value)


def test_no_python_at_all_is_one_line() -> None:
    done = subprocess.run(
        ["make", "venv", "PYTHON=python-that-is-not-there"],
        cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == (
        "python-that-is-not-there was not found. "
        "Install Python 3.11 or newer, or name it: PYTHON=python3.12\n"
    )


def test_it_installs_once_and_again_when_a_file_changed(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.create(tmp_path / ".venv", with_pip=False, symlinks=True)
    installed: list[list[str]] = []
    monkeypatch.setattr(script, "is_whole", lambda: True)
    monkeypatch.setattr(script, "install", installed.append)
    script.main(["requirements.txt"])
    script.main(["requirements.txt"])
    assert installed == [["requirements.txt"]]
    script.main(["requirements.txt", "requirements-dev.txt"])
    script.main(["requirements.txt"])
    assert len(installed) == 2, "what is there for the tests serves the site as well"
    (tmp_path / "requirements.txt").write_text("# changed\n")
    script.main(["requirements.txt"])
    assert len(installed) == 3


def test_another_folder_has_a_stamp_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENV_FOLDER", "bench/.venv")
    script = load()
    assert str(ROOT / "bench" / ".venv" / "installed.txt") == script.STAMP
    assert script.describe("requirements.txt").endswith(str(ROOT / "bench" / ".venv"))


def test_a_half_made_one_is_made_anew(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to("/gone/python3")
    made: list[bool] = []
    monkeypatch.setattr(script, "make", lambda: made.append(True))
    monkeypatch.setattr(script, "install", lambda _files: None)
    script.main(["requirements.txt"])
    assert made == [True]


def test_what_a_link_points_to_is_left_as_it_is(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "thesis.txt").write_text("years of work")
    (tmp_path / ".venv").symlink_to("elsewhere")
    with pytest.raises(script.CannotMakeError) as problem:
        script.main(["requirements.txt"])
    assert str(problem.value) == (
        f".venv is a link to {tmp_path / 'elsewhere'}, which is left as it is. "
        "Remove the link, then try again."
    )
    assert (tmp_path / "elsewhere" / "thesis.txt").exists()


def test_one_that_was_moved_is_not_whole(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.create(tmp_path / ".venv", with_pip=True, symlinks=True)
    assert script.is_whole()
    (tmp_path / ".venv").rename(tmp_path / "moved")
    monkeypatch.setattr(script, "VENV", str(tmp_path / "moved"))
    monkeypatch.setattr(script, "VENV_PYTHON", str(tmp_path / "moved" / "bin" / "python"))
    assert not script.is_whole()


def test_an_interruption_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import hashlib\ndef stop(*_): raise KeyboardInterrupt\nhashlib.sha256 = stop\n"
    )
    done = subprocess.run(
        [sys.executable, SCRIPT, "requirements.txt"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "Interrupted; the next run goes on.\n")
