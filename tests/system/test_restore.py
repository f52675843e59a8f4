"""Backup and restore of PostgreSQL by the very commands of docs/operations.md."""

import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.run import create_database, drop_databases, on_postgres

from .brokers import find_absent
from .processes import ROOT

pytestmark = [
    pytest.mark.system,
    pytest.mark.servers,
    pytest.mark.one_server,
    pytest.mark.timeout(240),
]
GUIDE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


@pytest.fixture
def address() -> Iterator[str]:
    """A migrated database of the test's own."""
    if absent := find_absent("PostgreSQL"):
        pytest.skip(absent)
    if missing := [name for name in ("psql", "pg_dump", "pg_restore") if not shutil.which(name)]:
        pytest.skip(f"{', '.join(missing)} (not installed)")
    name = f"mailroom_restore_{secrets.token_hex(4)}"
    create_database(name)
    try:
        manage(on_postgres(name), "migrate", "--verbosity=0")
        yield on_postgres(name)
    finally:
        drop_databases(name)


def test_what_was_backed_up_comes_back_and_nothing_else(address: str, tmp_path: Path) -> None:
    dump, restore = blocks()
    execute(address, "INSERT INTO auth_group (name) VALUES ('before')")
    shell(dump, address, tmp_path)
    execute(address, "DELETE FROM auth_group")
    execute(address, "CREATE TABLE of_a_later_release (id int)")
    shell(restore, address, tmp_path)
    assert execute(address, "SELECT name FROM auth_group") == [("before",)]
    assert execute(address, "SELECT to_regclass('of_a_later_release')") == [(None,)]
    manage(address, "migrate", "--check")
    # Ids go on behind those that were restored.
    execute(address, "INSERT INTO auth_group (name) VALUES ('after')")


def test_a_damaged_backup_leaves_nothing_half_restored(address: str, tmp_path: Path) -> None:
    dump, restore = blocks()
    shell(dump, address, tmp_path)
    whole = (tmp_path / "mailroom.dump").read_bytes()
    (tmp_path / "mailroom.dump").write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(AssertionError, match="pg_restore"):
        shell(restore, address, tmp_path)
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert execute(address, tables) == [(0,)]


def blocks() -> tuple[str, str]:
    """The commands that back up, and those that restore."""
    found = re.findall(r"(?ms)^```sh\n(.*?)^```", GUIDE)
    (dump,) = [block for block in found if "pg_dump" in block]
    (restore,) = [block for block in found if "pg_restore" in block]
    return dump, restore


def shell(commands: str, address: str, folder: Path) -> None:
    """Run lines as they stand; they know the database by DATABASE_URL alone."""
    done = subprocess.run(
        ["sh", "-euc", commands],
        cwd=folder,
        env=os.environ | {"DATABASE_URL": address},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def manage(address: str, *arguments: str) -> None:
    environment = {"DJANGO_SETTINGS_MODULE": "site_config.settings.test", "DATABASE_URL": address}
    subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        check=True,
        timeout=120,
    )


def execute(address: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(address, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []
