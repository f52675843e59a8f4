"""The Dockerfile without an engine: its steps, what they copy, and a folder as it makes one."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from .arrangement import ROOT


def read_steps() -> list[tuple[str, str]]:
    """(instruction, the rest) of each, continued lines joined, comments left out."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ").splitlines()
    steps = (line.partition(" ") for line in lines if line.strip())
    return [(name, " ".join(rest.split())) for name, _, rest in steps]


def read_environment() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, rest in read_steps():
        if name == "ENV":
            found |= dict(word.split("=", 1) for word in shlex.split(rest))
    return found


def is_ignored(path: str) -> bool:
    """Whether .dockerignore keeps the path, or a folder above it, from the image."""
    patterns = [
        line.strip("/")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and line[0] != "#"
    ]
    parts = path.split("/")
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    return any(re.fullmatch(_pattern(p), folder) for p in patterns for folder in above)


def _pattern(text: str) -> str:
    """A pattern of Go's filepath.Match, with ** for any number of folders."""
    meant = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    words = re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", text)
    return "".join(meant.get(word, re.escape(word)) for word in words)


def make_image(folder: Path) -> None:
    """Copy what `COPY . .` copies, and run the step that collects static files."""
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT
    )
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file() and not is_ignored(name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (step,) = [rest for name, rest in read_steps() if name == "RUN" and "collectstatic" in rest]
    subprocess.run(step, cwd=folder, env=bare_environment(), shell=True, check=True)


def bare_environment() -> dict[str, str]:
    """What a process in the container is given: nothing of this machine but the virtualenv."""
    return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"} | (
        read_environment()
    )


def list_files(folder: Path) -> set[str]:
    """Without bytecode, which Python leaves unwritten where it may not write."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if "__pycache__" not in path.parts}
