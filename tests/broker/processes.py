"""What the other processes of a test do: write, read, hold; forked, so that they can be killed."""

import hashlib
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kombu import Connection
from kombu.transport.virtual import Channel

fork = multiprocessing.get_context("fork")


def connect_to(folder: Path) -> Connection:
    connection = Connection(
        f"filesystem://{folder}", transport="site_config.filesystem_broker:Transport"
    )
    connection.connect()
    return connection


def publish(channel: Channel, queue: str, body: dict[str, Any]) -> None:
    message = channel.prepare_message(
        channel.connection.client.Producer(channel)._prepare(body, "json", headers={})[0],
        content_type="application/json",
        content_encoding="utf-8",
    )
    channel.basic_publish(message, exchange="", routing_key=queue)


def wait_until(condition: Callable[[], Any], *, seconds: float = 20.0) -> Any:
    """Poll until the condition gives something true, and return it."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"still waiting after {seconds} s"
        time.sleep(0.01)
    return result


def read_lines(path: Path) -> list[str]:
    """The whole lines a process has logged, without the one it was killed in."""
    text = path.read_text() if path.exists() else ""
    return text.split("\n")[:-1]


def write_numbers(folder: Path, first: int, count: int) -> None:
    channel = connect_to(folder).default_channel
    for number in range(first, first + count):
        publish(channel, "numbers", {"number": number})


def read_numbers(folder: Path, log: Path, total: Any) -> None:
    """Read until all processes together have read the total."""
    channel = connect_to(folder).default_channel
    with log.open("a", buffering=1) as lines:
        while total.value > 0:
            if message := channel.basic_get("numbers"):
                lines.write(f"{message.payload['number']}\n")
                message.ack()
                with total.get_lock():
                    total.value -= 1
            else:
                time.sleep(0.005)


def write_large(folder: Path, log: Path) -> None:
    """Publish large messages with their digest until killed; log each that was published."""
    channel = connect_to(folder).default_channel
    with log.open("a", buffering=1) as lines:
        for number in range(1_000_000):
            text = f"{log.name}-{number}-" * 20_000
            digest = hashlib.sha256(text.encode()).hexdigest()
            publish(channel, "large", {"text": text, "digest": digest})
            lines.write(f"{digest}\n")


def hold_and_ack(folder: Path, log: Path) -> None:
    """Hold ten messages at a time until killed; log each delivery, and each ack before it."""
    channel = connect_to(folder).default_channel
    held = []
    with log.open("a", buffering=1) as lines:
        while True:
            if message := channel.basic_get("numbers"):
                number, again = message.payload["number"], message.delivery_info["redelivered"]
                lines.write(f"got {number} {again:d}\n")
                held.append(message)
            if len(held) > 10 or not message:
                time.sleep(0.002)
            if len(held) > 10:
                lines.write(f"done {held[0].payload['number']} 0\n")
                held.pop(0).ack()
