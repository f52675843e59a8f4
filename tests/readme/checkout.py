"""A fresh copy of this project, as somebody has it who just cloned it, and its processes."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Of the developer's environment only this reaches the copy: no settings, no active .venv.
KEPT = ("HOME", "LANG", "PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
KEPT_PREFIXES = ("PIP_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy")


def copy_project(to: Path) -> None:
    """Copy what git would: tracked files, and new ones that are not ignored."""
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT
    )
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def clean_environment(**more: str) -> dict[str, str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or name.startswith(KEPT_PREFIXES)
    }
    own_bin = str(ROOT / ".venv" / "bin")
    folders = [folder for folder in environment["PATH"].split(os.pathsep) if folder != own_bin]
    return environment | {"PATH": os.pathsep.join(folders)} | more


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def processes_in(folder: Path) -> list[str]:
    """The command lines of the processes that run from a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            inside = (entry / "cwd").readlink().is_relative_to(folder)
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):
            continue
        if inside and words:
            found.append(f"{entry.name} {words}")
    return found
