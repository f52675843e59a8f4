"""What Flower is started with: a login or not at all, this machine alone, a memory."""

import socket
from pathlib import Path

import pytest

from site_config.flower import prepare, welcome
from site_config.launch import CannotStartError
from site_config.local_environment import load_local_environment


def test_it_listens_here_and_remembers(tmp_path: Path) -> None:
    environment = {"FLOWER_BASIC_AUTH": "me:secret", "MAILROOM_VAR": str(tmp_path / "var")}
    prepare(environment)
    assert environment["FLOWER_ADDRESS"] == "127.0.0.1"
    assert environment["FLOWER_PERSISTENT"] == "True"
    assert int(environment["FLOWER_STATE_SAVE_INTERVAL"]) > 0
    assert environment["FLOWER_DB"] == str(tmp_path / "var" / "flower.db")
    assert (tmp_path / "var").is_dir()
    assert "Log in as me, password secret." in welcome(environment)


@pytest.mark.parametrize("login", ["", "staff", "staff:", ":secret", "a:b,c:d", "a b:c"])
def test_without_a_login_it_does_not_start(login: str, tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match="set FLOWER_BASIC_AUTH=user:password"):
        prepare({"FLOWER_BASIC_AUTH": login, "MAILROOM_VAR": str(tmp_path)})


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    environment = {"FLOWER_BASIC_AUTH": "me:secret", "MAILROOM_VAR": str(tmp_path)}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(CannotStartError, match=f"FLOWER_PORT={port + 10} make flower"):
            prepare(environment | {"FLOWER_PORT": str(port)})
    with pytest.raises(CannotStartError, match="FLOWER_PORT=http is not a port"):
        prepare(environment | {"FLOWER_PORT": "http"})


def test_the_local_login_is_made_once_also_for_an_older_file(tmp_path: Path) -> None:
    file = tmp_path / "var" / "local.env"
    file.parent.mkdir()
    file.write_text("SECRET_KEY=old\n")
    first: dict[str, str] = {}
    load_local_environment(first, root=tmp_path)
    made = file.read_text()
    second: dict[str, str] = {}
    load_local_environment(second, root=tmp_path)
    assert file.read_text() == made
    assert first["FLOWER_BASIC_AUTH"] == second["FLOWER_BASIC_AUTH"]
    assert first["FLOWER_BASIC_AUTH"].startswith("admin:")
    assert "ADDRESS_KEY" not in first  # a lost key is for a person to look for
