"""The first render of a message, in a child process that may neither eat the memory nor hang."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from mailer.engine.render import Content, Rendered, TemplateProblem, compile_content


class LimitReached(TemplateProblem):
    """Rendering took too much memory or time, whoever it is for."""


_IMPORT_ROOT = Path(__file__).resolve().parents[2]


def render_bounded(
    content: Content,
    variables: Mapping[str, object],
    *,
    cpu_seconds: int = 10,
    timeout: float = 60.0,
    memory_bytes: int = 512 * 1024 * 1024,
) -> Rendered:
    """Render one recipient's message in `cpu_seconds` and `memory_bytes` of addresses.

    `timeout` is by the clock: a busy machine may take its time over an honest message.

    Raises TemplateProblem, also where a limit was reached.
    """
    request = {
        "content": asdict(content),
        "variables": dict(variables),
        "memory_bytes": memory_bytes,
        "cpu_seconds": cpu_seconds,
    }
    try:
        # fmt: off
        child = subprocess.run(
            [sys.executable, "-m", "mailer.engine.preflight"],
            input=json.dumps(request), capture_output=True, text=True, timeout=timeout,
            check=False,
            # Nothing of our own environment: it holds the site's secrets.
            env={"PYTHONPATH": str(_IMPORT_ROOT), "PYTHONIOENCODING": "utf-8"},
        )
        # fmt: on
    except subprocess.TimeoutExpired as error:
        raise LimitReached("text", None, f"took longer than {timeout:g} seconds") from error
    except TypeError as error:
        raise TemplateProblem("values", None, "a value is not plain data") from error
    if child.returncode != 0:
        raise LimitReached("text", None, "took too much memory or time")
    answer = json.loads(child.stdout)
    if "problem" in answer:
        raise TemplateProblem(*answer["problem"])
    return Rendered(**answer["rendered"])


def main() -> None:
    """The child: a request on standard input, the message or the problem on standard output."""
    request = json.load(sys.stdin)
    memory, cpu = request["memory_bytes"], request["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    try:
        rendered = compile_content(Content(**request["content"])).render(request["variables"])
    except TemplateProblem as problem:
        json.dump({"problem": problem.args}, sys.stdout)
    else:
        json.dump({"rendered": asdict(rendered)}, sys.stdout)


if __name__ == "__main__":
    main()
