"""The peers of a run on servers, each sending messages of the same kind to the same relay."""

from __future__ import annotations

import json
import os
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage

from bench.postfix import MissingToolError
from bench.site import ROOT, database
from bench.world import CITIES, HTML, SUBJECT, TEXT

PYTHON = ROOT / "bench" / ".venv" / "bin" / "python"
# With 2 to 4 processes, 1 to 10 threads and batches of 100 to 4,000, django-post-office was as fast
# as this or slower; threads and batches are in its settings.
PROCESSES = 3


@contextmanager
def beside(port: int) -> Iterator[dict[str, Callable[[], float]]]:
    """By name, how to measure each: messages a second to that port. Raises MissingToolError."""
    with post_office(port) as peer:
        yield {
            "peer_smtplib": lambda: measure_smtplib(port),
            "peer_post_office": peer.measure,
        }


def measure_smtplib(port: int, *, messages: int = 2000) -> float:
    """Messages a second as one writes it first: EmailMessage and smtplib on one connection."""
    begun = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", port) as client:
        for number in range(messages):
            if client.send_message(_write(number)):
                raise RuntimeError("smtplib's peer did not take a message")
    return messages / (time.perf_counter() - begun)


def _write(number: int) -> EmailMessage:
    values = {"{{ name }}": f"Zoë Person {number}", "{{ city }}": CITIES[number % len(CITIES)]}

    def fill_in(text: str) -> str:
        for placeholder, value in values.items():
            text = text.replace(placeholder, value)
        return text

    message = EmailMessage()
    message["From"] = "News <news@example.com>"
    message["To"] = f"person{number}@a{number % 50}.example"
    message["Subject"] = fill_in(SUBJECT)
    message["List-Unsubscribe"] = f"<https://example.com/u/{number}>"
    message.set_content(fill_in(TEXT))
    message.add_alternative(fill_in(HTML), subtype="html")
    return message


class PostOffice:
    """django-post-office with a database of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def measure(self, *, messages: int = 4000) -> float:
        """Messages a second from the first that is queued to the last that is marked as sent."""
        arguments = ("-m", "bench.post_office.send", str(messages), str(PROCESSES))
        took: dict[str, float] = json.loads(self.run(*arguments))
        return messages / (took["queueing"] + took["sending"])

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [PYTHON, *arguments], cwd=ROOT, env=self._environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout


@contextmanager
def post_office(port: int) -> Iterator[PostOffice]:
    """Ready to send to the port. Raises MissingToolError."""
    if not PYTHON.exists():
        raise MissingToolError("django-post-office is missing: make bench installs it")
    with tempfile.TemporaryDirectory(prefix="mailroom-bench-") as folder, database() as url:
        peer = PostOffice(
            os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "bench.post_office.settings",
                "DATABASE_URL": url,
                "RELAY_PORT": str(port),
                "TMPDIR": folder,  # it leaves a lock there when it is stopped
            }
        )
        peer.run("-m", "django", "migrate", "--no-input")
        yield peer
