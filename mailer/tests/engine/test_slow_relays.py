"""Relays that take a text slowly: how long they have for it."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import cast

import pytest

from mailer.engine import wire as wire_module
from mailer.engine.sender import Outcome, Result
from mailer.engine.wire import Wire
from mailer.tests.engine.conftest import Serve, outgoing, relay_to, sender_to


class Line:
    """A socket that takes `octets` every so many seconds, and its clock."""

    def __init__(self, octets: int, *, every: float, at_most: int = 10**9) -> None:
        self.octets, self.every, self.left = octets, every, at_most
        self.now = self.timeout = 0.0

    def send(self, data: memoryview) -> int:
        taken = min(self.octets, self.left, len(data))
        self.left -= taken
        self.now += min(self.every, self.timeout) if taken else self.timeout
        if not taken or self.every > self.timeout:
            raise TimeoutError("timed out")
        return taken

    def settimeout(self, seconds: float) -> None:
        self.timeout = seconds

    def setsockopt(self, *_: object) -> None:
        pass

    def fileno(self) -> int:
        return 0


def write(line: Line, octets: int, monkeypatch: pytest.MonkeyPatch) -> Wire:
    monkeypatch.setattr(wire_module, "time", SimpleNamespace(monotonic=lambda: line.now))
    wire = Wire(cast("socket.socket", line), helo_name="x", patience=60.0)
    wire.send(b"x" * octets)
    return wire


def test_a_text_may_take_longer_than_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(600_000, every=30.0)
    assert write(line, 6_000_000, monkeypatch).sent == 6_000_000
    assert line.now == 300


def test_a_relay_that_takes_no_more_is_given_up_after_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = Line(300_000, every=30.0, at_most=900_000)
    with pytest.raises(TimeoutError):
        write(line, 6_000_000, monkeypatch)
    assert line.now == 90 + 60


def test_a_tarpit_has_no_more_than_the_time_of_a_slow_line(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(1, every=50.0)
    with pytest.raises(TimeoutError):
        write(line, 6_000_000, monkeypatch)
    assert line.now == 60 + 6_000_000 / 16_000


@pytest.mark.parametrize("extension", [b"PIPELINING", b"XNONE"])
def test_a_relay_that_reads_slowly_and_steadily_gets_its_message(
    serve: Serve, extension: bytes
) -> None:
    """And a no on the way lets it be, but begins nothing more."""
    ehlo = b"250-scripted.test\r\n250-%s\r\n250 8BITMIME" % extension
    server = serve({"ehlo": ehlo}, reads=30_000)
    # More than a kernel keeps by itself: there, minutes may pass without room for more.
    text = ("x" * 900 + "\r\n") * 5_000
    sender = sender_to(relay_to(server, command_timeout=0.5), signer=lambda m: m + text.encode())
    results: list[Result] = []
    with sender:
        sender.send(
            [outgoing(1), outgoing(2), outgoing(3)],
            results,
            may_continue=lambda: not server.reading.is_set(),
        )
    assert [(result.seq, result.outcome) for result in results] == [(1, Outcome.SENT)]
    assert [len(message.data) > len(text) for message in server.accepted] == [True]
