"""Messages read by Perl's MIME-tools, in one process for all of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SCRIPT = Path(__file__).with_name("read_mime.pl")


def is_installed() -> bool:
    perl = shutil.which("perl")
    return perl is not None and not subprocess.call(
        [perl, "-MMIME::Parser", "-MJSON::PP", "-e1"], stderr=subprocess.DEVNULL
    )


class MimeTools:
    """`read(message)` gives what read_mime.pl found in it."""

    def __enter__(self) -> Self:
        self._perl = subprocess.Popen(
            ["perl", str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._perl.communicate(timeout=10)

    def read(self, message: bytes) -> dict[str, Any]:
        assert self._perl.stdin is not None
        assert self._perl.stdout is not None
        self._perl.stdin.write(b"%d\n" % len(message) + message)
        self._perl.stdin.flush()
        found: dict[str, Any] = json.loads(self._perl.stdout.readline())
        return found


def leaves(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts that hold no parts, in their order."""
    if "parts" not in part:
        yield part
    for inner in part.get("parts", []):
        yield from leaves(inner)


def content(part: dict[str, Any]) -> bytes:
    return b64decode(part["body"])


def display_name(phrase: str) -> str:
    """Mail::Address gives a quoted-string as it stands."""
    if len(phrase) > 1 and phrase[0] == phrase[-1] == '"':
        return re.sub(r"\\(.)", r"\1", phrase[1:-1])
    return phrase
