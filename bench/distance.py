"""One connection to a relay that is far away, against smtplib's on the same line."""

from __future__ import annotations

import smtplib
import statistics
import time
from uuid import UUID

from bench import postfix
from bench.chunking_sink import chunking_sink
from bench.figures import Figure
from bench.slow_line import slow_line
from bench.world import HTML, TEXT
from mailer.engine.frame import Frame, FrameSpec
from mailer.engine.relay import RelayAddress
from mailer.engine.render import Content, compile_content
from mailer.engine.sender import Composer, Outgoing, Result, Sender

ROUND_TRIP = 0.020  # seconds
ROUNDS = 3
SENDER = "news@example.com"


def measure(*, chunking: bool = False, bar: float) -> Figure:
    """Messages a second of one connection, as so many times smtplib's."""
    frame = Frame(FrameSpec(("News", SENDER), "example.com"))
    composer = Composer(
        frame, compile_content(Content("News", HTML, TEXT)), envelope_sender=lambda _: SENDER
    )
    times, rates = [], []
    sink = chunking_sink if chunking else postfix.sink
    with sink() as port, slow_line(port, round_trip=ROUND_TRIP) as far:
        for _ in range(ROUNDS):
            peer = measure_smtplib(far, composer, messages=50)
            rates.append(measure_sender(far, composer, messages=200))
            times.append(rates[-1] / peer)
    detail = f"{statistics.median(rates):.0f} messages a second at {ROUND_TRIP * 1000:g} ms"
    name = "far_away_chunking" if chunking else "far_away"
    return Figure(name, statistics.median(times), bar, detail)


def measure_sender(port: int, composer: Composer, *, messages: int) -> float:
    """Messages a second of our own sender on one connection, its opening included."""
    results: list[Result] = []
    begun = time.perf_counter()
    with Sender(RelayAddress("127.0.0.1", port, security="none"), composer) as sender:
        sender.send(make_messages(messages), results, may_continue=lambda: True)
    took = time.perf_counter() - begun
    if [result.outcome for result in results] != ["sent"] * messages:
        raise RuntimeError(f"not everything was sent: {sender.trouble}")
    return messages / took


def measure_smtplib(port: int, composer: Composer, *, messages: int) -> float:
    """Messages a second of smtplib's sendmail on one connection, its opening included."""
    ready = []
    for message in make_messages(messages):
        composed = composer.compose(message)
        composer.build(composed, eight_bit=True, smtputf8=False)
        if composed.transaction is not None:
            ready.append((message.address, composed.transaction.data))
    begun = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", port) as client:
        for address, data in ready:
            client.sendmail(SENDER, [address], data, mail_options=["BODY=8BITMIME"])
    return messages / (time.perf_counter() - begun)


def make_messages(count: int) -> list[Outgoing]:
    return [
        Outgoing(
            number, UUID(int=number), f"person{number}@a.example", f"Zoë {number}",
            {"name": f"Zoë {number}", "city": "台北"},
        )
        for number in range(1, count + 1)
    ]  # fmt: skip
