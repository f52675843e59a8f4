"""The Dockerfile and .dockerignore: what gets in, who runs it."""

import re

import pytest

from .arrangement import ROOT
from .image import is_ignored, read_environment, read_steps

STEPS = read_steps()


def test_the_base_is_pinned() -> None:
    assert [re.fullmatch(r"python:\d+\.\d+\.\d+-\S+", rest) is not None
            for name, rest in STEPS if name == "FROM"] == [True]  # fmt: skip


def test_it_runs_as_nobody_in_particular() -> None:
    name, user = STEPS[-1]
    assert name == "USER"
    assert re.fullmatch(r"[1-9]\d{4}:[1-9]\d{4}", user)


def test_only_locked_packages_are_installed() -> None:
    (step,) = [rest for name, rest in STEPS if "pip install" in rest]
    assert "--require-hashes -r requirements.txt" in step


def test_what_is_copied_is_there() -> None:
    sources = [word for name, rest in STEPS if name == "COPY" for word in rest.split()[:-1]]
    assert sources == ["requirements.txt", "."]
    for source in sources:
        assert (ROOT / source).exists()
        assert source == "." or not is_ignored(source)


@pytest.mark.parametrize(
    "path",
    [
        ".env", ".env.production", ".git/config", ".venv/bin/python", "var/local.env",
        "var/mailroom.sqlite3", "staticfiles/x.css", "mailer/__pycache__/x.pyc", "x.sqlite3",
        "mailer/tests/factories.py", "tests/run.py", "docs/containers.md", "compose.yaml",
    ],
)  # fmt: skip
def test_what_must_not_get_in_does_not(path: str) -> None:
    assert is_ignored(path)


@pytest.mark.parametrize(
    "path",
    [
        "manage.py", "requirements.txt", "scripts/probe.py", "site_config/flower.py",
        "site_config/settings/environment.py", "mailer/services/testing.py",
        "admin_ext/static/admin_ext/skin.css", "fixtures/demo.json",
    ],
)  # fmt: skip
def test_what_is_needed_gets_in(path: str) -> None:
    assert not is_ignored(path)


def test_it_knows_its_settings() -> None:
    assert read_environment()["DJANGO_SETTINGS_MODULE"] == "site_config.settings.production"
