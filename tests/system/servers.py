"""Servers of a test's own, on free ports: what others use is never stopped."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from .inbox import free_port
from .processes import wait_until

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # not Debian's wrapper: it changes the user


class OwnServer:
    """A broker that may be stopped and started again; its data outlive it, or do not."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.folder.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    url: str
    program: str

    def start(self) -> None:
        with (self.folder / "out.log").open("ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                env=os.environ | self.environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(lambda: _listens(self.port), what=f"{self.program} listens", seconds=60)

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def close(self) -> None:
        self.kill()

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}


class OwnRabbitMQ(OwnServer):
    """Keeps its quorum queues over a kill."""

    program = RABBITMQ

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._name = f"mailroom-{secrets.token_hex(4)}@localhost"
        self._ports = free_port(), free_port()
        self._names: subprocess.Popen[bytes] | None = None
        (folder / "plugins").write_text("[].")

    def command(self) -> list[str]:
        return [RABBITMQ]

    def environment(self) -> dict[str, str]:
        distribution, epmd = self._ports
        return {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "ERL_EPMD_PORT": str(epmd),
        }

    def start(self) -> None:
        if self._names is None:  # Erlang would start one that outlives it
            self._names = subprocess.Popen(["epmd"], env=os.environ | self.environment())
            wait_until(lambda: _listens(self._ports[1]), what="epmd listens")
        super().start()

    def limit_memory(self, share: float) -> None:
        """At a share of next to nothing it takes no more messages, and does not say so."""
        subprocess.run(
            [Path(RABBITMQ).with_name("rabbitmqctl"), "set_vm_memory_high_watermark", str(share)],
            env=os.environ | self.environment(),
            check=True,
            capture_output=True,
        )

    def close(self) -> None:
        super().close()
        if self._names is not None:
            self._names.kill()
            self._names.wait(10)


class OwnRedis(OwnServer):
    """Keeps nothing over a kill: the harder case."""

    program = "redis-server"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        options = {"bind": "127.0.0.1", "port": str(self.port), "save": "", "appendonly": "no"}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [self.program, *words, "--dir", str(self.folder)]


def own_server(kind: str, folder: Path) -> OwnServer:
    """A server of this kind ("amqp", "redis"), started; skips where it is not installed."""
    server = {"amqp": OwnRabbitMQ, "redis": OwnRedis}[kind]
    if not shutil.which(server.program):
        pytest.skip(f"{server.__name__[3:]} is not installed here, so it cannot be restarted")
    started = server(folder)
    started.start()
    return started


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True
