"""A broker in a temporary folder, and the patience to wait for other processes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kombu import Connection

from site_config import filesystem_broker
from site_config.spool import Spool
from tests.broker.processes import connect_to


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "broker"


@pytest.fixture
def connect(folder: Path) -> Iterator[Callable[[], Connection]]:
    opened: list[Connection] = []

    def connect() -> Connection:
        opened.append(connect_to(folder))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.release()


@pytest.fixture
def spool(folder: Path) -> Spool:
    spool = Spool(folder)
    spool.create()
    return spool


@pytest.fixture
def sweep_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem_broker, "SWEEP_SECONDS", 0.0)
