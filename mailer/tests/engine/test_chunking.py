"""A window of BDATs on the way: what is in doubt after a break, what is not, and whom to trust."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from mailer.engine import smtp, stream
from mailer.engine.kept import KeptConnections
from mailer.engine.lane import Lane
from mailer.engine.pace import Pace
from mailer.engine.sender import Outcome, Outgoing, Result
from mailer.engine.stream import WINDOW, Stream
from mailer.engine.transaction import Transaction
from mailer.engine.wire import Wire
from mailer.tests.engine.conftest import Serve, outgoing, relay_to, sender_to
from mailer.tests.engine.scripted_smtp import CHUNKING, DROP, HANG
from mailer.tests.engine.test_pipelining import check, send

COUNT = 40


@pytest.fixture(autouse=True)
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "FAR_AWAY", 0.0)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was written whole, in order."""
    written: list[bytes] = []
    write = Wire.send

    def note(wire: Wire, data: bytes) -> None:
        write(wire, data)
        written.append(data if isinstance(data, bytes) else data.encode())

    monkeypatch.setattr(Wire, "send", note)
    return written


@pytest.fixture
def flights(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many were on the way, each time that one was waited for."""
    seen: list[int] = []
    pull = Stream.pull

    def note(stream: Stream) -> object:
        seen.append(len(stream._flight))
        return pull(stream)

    monkeypatch.setattr(Stream, "pull", note)
    return seen


def messages(count: int) -> list[Outgoing]:
    return [outgoing(n) for n in range(1, count + 1)]


def once(nth: int, answer: bytes, otherwise: bytes = b"250 ok") -> Callable[[bytes, int], bytes]:
    return lambda _, count: answer if count == nth else otherwise


def count(results: Sequence[Result]) -> Counter[Outcome]:
    return Counter(result.outcome for result in results)


def test_texts_arrive_as_they_were_and_replies_are_not_waited_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, writes: list[bytes], flights: list[int]
) -> None:
    server, full, pull = serve({"ehlo": CHUNKING}), threading.Event(), Stream.pull

    def note(stream: Stream) -> object:
        if len(stream._flight) == WINDOW:
            full.set()
        return pull(stream)

    def wait_for_more(_line: bytes, _nth: int) -> bytes:
        assert full.wait(5)
        return b"250 ok"

    monkeypatch.setattr(Stream, "pull", note)
    server.script["rset"] = wait_for_more
    dots = [outgoing(n, variables={"name": f"a\n.\n.b{n}"}) for n in range(1, COUNT + 1)]
    results = send(sender_to(relay_to(server)), dots)
    check(server, results)
    assert count(results) == {Outcome.SENT: COUNT}
    assert max(flights) == WINDOW
    assert all(b"\r\n.\r\n.b" in message.data for message in server.accepted)
    assert not any(b"DATA\r\n" in data for data in writes)
    # Two round trips until the relay is known; from then on each message is one write.
    ehlo, envelope, text_and_envelope, text, *whole, quit_ = writes
    assert (ehlo[:4], quit_) == (b"ehlo", b"QUIT\r\n")
    assert re.fullmatch(rb"MAIL .*\r\nRCPT .*\r\nBDAT \d+\r\nFrom: .*\r\n", envelope)
    assert re.fullmatch(rb"(?s)BDAT \d+ LAST\r\n.*MAIL .*BDAT \d+\r\nFrom: .*", text_and_envelope)
    assert re.fullmatch(rb"(?s)BDAT \d+ LAST\r\n.*", text)
    assert len(whole) == COUNT - 2
    assert all(re.match(rb"RSET\r\nMAIL .*\r\nRCPT .*\r\nBDAT \d+ LAST\r\n", w) for w in whole)


@pytest.mark.parametrize(
    ("change", "ehlo"),
    [
        ("near", CHUNKING),
        ("without PIPELINING", CHUNKING.replace(b"250-PIPELINING\r\n", b"")),
        ("without CHUNKING", CHUNKING.replace(b"250-CHUNKING\r\n", b"")),
    ],
)
def test_data_where_chunks_do_not_pay_or_are_not_offered(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, change: str, ehlo: bytes
) -> None:
    if change == "near":
        monkeypatch.setattr(smtp, "FAR_AWAY", 5.0)
    server = serve({"ehlo": ehlo})
    assert count(send(sender_to(relay_to(server)), messages(5))) == {Outcome.SENT: 5}
    assert server.commands.count("DATA") == 5


def test_the_fastest_greeting_tells_how_far_the_relay_is(serve: Serve) -> None:
    def slowly(_line: bytes, _nth: int) -> bytes:
        time.sleep(0.05)  # what is measured is time
        return CHUNKING

    wire = smtp.open_wire(relay_to(serve({"ehlo": slowly})))
    assert 0.05 <= wire.round_trip < 2.0
    wire.sock.close()
    wire = smtp.open_wire(relay_to(serve({"connect": lambda *_: slowly(*_) and b"220 tarpit"})))
    assert wire.round_trip < 0.05
    wire.sock.close()


def test_one_at_a_time_where_there_is_a_pace(serve: Serve, flights: list[int]) -> None:
    server, kept = serve({"ehlo": CHUNKING}), KeptConnections()
    send(sender_to(relay_to(server), kept=kept), messages(5))
    flights.clear()
    paced = sender_to(relay_to(server), kept=kept, pace=Pace(10_000.0))
    assert count(send(paced, messages(10))) == {Outcome.SENT: 10}
    assert (server.connections, flights) == (1, [])
    kept.close()


def test_octets_on_the_way_are_limited(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, flights: list[int]
) -> None:
    monkeypatch.setattr(stream, "WINDOW_OCTETS", 2700)  # each is some 800 with its envelope
    server = serve({"ehlo": CHUNKING})
    assert count(send(sender_to(relay_to(server)), messages(COUNT))) == {Outcome.SENT: COUNT}
    assert max(flights) <= 3
    monkeypatch.setattr(stream, "WINDOW_OCTETS", 10)
    flights.clear()
    assert count(send(sender_to(relay_to(server)), messages(COUNT))) == {Outcome.SENT: COUNT}
    assert max(flights) == 1


# At the text of a message no answer leaves it in doubt, nor those behind it; a refusal of the
# relay's is the message's own. 421 and a close are an announcement: nobody is in doubt.
DOUBT, NOBODY = True, False
MATRIX: list[tuple[str, bytes, Outcome | None, str, bool]] = [
    ("rset", DROP, Outcome.UNCERTAIN, "connection lost after the final dot", DOUBT),
    ("rset", b"550 no", Outcome.UNCERTAIN, "unreadable reply after the final dot", DOUBT),
    ("rset", b"421 4.3.2 bye", None, "", NOBODY),
    ("mail", b"451 4.3.0 later", Outcome.DEFERRED, "451 4.3.0", NOBODY),
    ("mail", b"550 5.7.1 not you", None, "", NOBODY),
    ("mail", b"421 4.3.2 bye", None, "", NOBODY),
    ("mail", DROP, Outcome.UNCERTAIN, "connection lost after the final dot", DOUBT),
    ("mail", HANG, Outcome.UNCERTAIN, "no reply in time after the final dot", DOUBT),
    ("rcpt", b"450 4.2.0 later", Outcome.DEFERRED, "450 4.2.0", NOBODY),
    ("rcpt", b"550 5.1.1 who", Outcome.FAILED, "550 5.1.1", NOBODY),
    ("rcpt", b"421 4.3.2 bye", Outcome.DEFERRED, "421 4.3.2", NOBODY),
    ("rcpt", DROP, Outcome.UNCERTAIN, "connection lost after the final dot", DOUBT),
    ("rcpt", b"hm", Outcome.UNCERTAIN, "unreadable reply after the final dot", DOUBT),
    ("rcpt", b"354 what", Outcome.UNCERTAIN, "unreadable reply after the final dot", DOUBT),
    ("dot", b"252 2.0.0 trying", Outcome.SENT, "", NOBODY),
    ("dot", b"452 4.3.1 disk", Outcome.DEFERRED, "452 4.3.1", NOBODY),
    ("dot", b"554 5.7.1 spam", Outcome.FAILED, "554 5.7.1", NOBODY),
    ("dot", b"421 4.3.2 bye", Outcome.DEFERRED, "421 4.3.2", NOBODY),
    ("dot", DROP, Outcome.UNCERTAIN, "connection lost after the final dot", DOUBT),
    ("dot", HANG, Outcome.UNCERTAIN, "no reply in time after the final dot", DOUBT),
    ("dot", b"hm", Outcome.UNCERTAIN, "unreadable reply after the final dot", DOUBT),
]


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize(("stage", "answer", "outcome", "problem", "doubt"), MATRIX)
def test_one_of_many_on_the_way(
    serve: Serve,
    *,
    connections: int,
    stage: str,
    answer: bytes,
    outcome: Outcome | None,
    problem: str,
    doubt: bool,
) -> None:
    server = serve({"ehlo": CHUNKING, stage: once(8, answer)})
    relay = relay_to(server, command_timeout=0.3, final_timeout=0.3)
    sender = sender_to(relay, connections=connections)
    results = send(sender, messages(COUNT))
    check(server, results)
    odd = [r for r in results if r.outcome is not Outcome.SENT or r.code == 252]
    if doubt:
        # Together they count for one break: the relay is not paused for it.
        assert len(results) == COUNT
        assert len(odd) <= WINDOW
        if connections == 1:
            assert "DATA" in server.commands, "it is trusted with one at a time from now on"
            assert {(r.outcome, r.problem) for r in odd} == {(outcome, problem)}
            seqs = [r.seq for r in odd]
            assert seqs == list(range(seqs[0], seqs[0] + len(odd)))
        return
    if connections == 3:  # it may have met a connection that was new
        assert len(odd) <= 1
    elif outcome is None:
        assert odd == []
    else:
        assert [(r.outcome, r.problem) for r in odd] == [(outcome, problem)]
    if sender.trouble is None:
        assert len(results) == COUNT
    else:
        assert len(results) <= COUNT - (connections == 1)
    assert "DATA" not in server.commands


@pytest.mark.parametrize("answer", [DROP, HANG, b"hm", b"250 ok\r\n250 more", b"502 no", b"550 no"])
def test_a_first_chunk_that_goes_wrong_harms_nobody(serve: Serve, answer: bytes) -> None:
    server = serve({"ehlo": CHUNKING, "bdat": once(1, answer)})
    kept = KeptConnections(idle_seconds=0)
    relay = relay_to(server, command_timeout=0.3)
    results = send(sender_to(relay, kept=kept), messages(5))
    kept.close()
    check(server, results)
    assert count(results) == {Outcome.SENT: 5}
    assert server.commands.count("DATA") == 5
    results = send(sender_to(relay, kept=kept), messages(5))  # what was learnt outlives it
    kept.close()
    assert server.commands.count("DATA") == 10


def test_a_relay_whose_chunking_is_a_lie_is_shown_one_header(serve: Serve) -> None:
    # Both replies at once: one that pauses between them looks as if it had taken the chunk.
    answers = {"ehlo": CHUNKING, "bdat": b"", "other": b"250 2.0.0 ok\r\n500 5.5.2 not known"}
    server = serve(answers, speaks_bdat=False)
    text = [outgoing(n, variables={"name": "x\nRCPT TO:<victim@example.net>\n"}) for n in (1, 2, 3)]
    results = send(sender_to(relay_to(server)), text)
    check(server, results)
    assert count(results) == {Outcome.SENT: 3}
    words = [line.split(" ")[0] for line in server.commands]
    assert words[:6] == ["ehlo", "MAIL", "RCPT", "BDAT", "From:", "ehlo"]
    assert not any("victim" in line for line in server.commands)


@pytest.mark.parametrize("answer", [DROP, HANG, b"hm"])
def test_a_first_text_in_doubt_is_the_last_of_its_kind(serve: Serve, answer: bytes) -> None:
    server = serve({"ehlo": CHUNKING, "dot": once(1, answer)})
    results = send(sender_to(relay_to(server, final_timeout=0.3)), messages(5))
    check(server, results)
    assert count(results) == {Outcome.UNCERTAIN: 1, Outcome.SENT: 4}
    assert server.commands.count("DATA") == 4


def test_a_relay_that_throws_away_what_comes_behind_a_chunk(serve: Serve) -> None:
    server = serve({"ehlo": CHUNKING}, forgets=True)
    results = send(sender_to(relay_to(server, command_timeout=0.3)), messages(5))
    check(server, results)
    assert count(results) == {Outcome.UNCERTAIN: 1, Outcome.SENT: 4}
    assert not any("Subject" in line for line in server.commands)


def test_a_reply_too_many_is_found_when_the_line_is_quiet(serve: Serve) -> None:
    server = serve({"ehlo": CHUNKING, "dot": once(8, b"250 ok\r\n250 more")})
    kept = KeptConnections()
    sender = sender_to(relay_to(server), kept=kept)
    results = send(sender, messages(8))
    check(server, results)
    assert count(results) == {Outcome.SENT: 8}
    assert count(send(sender_to(relay_to(server), kept=kept), messages(1))) == {Outcome.SENT: 1}
    kept.close()
    assert server.commands.count("DATA") == 1


def test_a_text_that_is_accepted_though_its_recipient_was_refused(serve: Serve) -> None:
    server = serve({"ehlo": CHUNKING, "mail": once(8, b"250 ok\r\n550 5.1.1 one too many")})
    results = send(sender_to(relay_to(server)), messages(COUNT))
    check(server, results)
    assert len(results) == COUNT
    assert {r.outcome for r in results} == {Outcome.SENT, Outcome.UNCERTAIN}
    assert "DATA" in server.commands


@pytest.mark.parametrize("stage", ["rset", "mail", "rcpt", "dot"])
def test_a_reply_too_few_costs_at_most_a_window(serve: Serve, stage: str) -> None:
    server = serve({"ehlo": CHUNKING, stage: once(8, b"")})
    relay = relay_to(server, command_timeout=0.3, final_timeout=0.3)
    results = send(sender_to(relay), messages(COUNT))
    check(server, results)
    assert len(results) == COUNT
    assert 1 <= COUNT - count(results)[Outcome.SENT] <= WINDOW
    assert "DATA" in server.commands or results[-1].outcome is Outcome.UNCERTAIN


def test_every_third_recipient_is_refused(serve: Serve) -> None:
    server = serve(
        {
            "ehlo": CHUNKING,
            "rcpt": lambda _, nth: b"550 5.1.1 who" if nth % 3 == 0 else b"250 ok",
        }
    )
    results = send(sender_to(relay_to(server), connections=3), messages(60))
    check(server, results)
    assert count(results) == {Outcome.SENT: 40, Outcome.FAILED: 20}
    assert server.connections == 3
    assert "DATA" not in server.commands


@pytest.mark.parametrize("rested", [False, True])
def test_a_kept_connection_that_the_relay_closed_leaves_nobody_in_doubt(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, *, rested: bool
) -> None:
    server = serve({"ehlo": CHUNKING})
    with sender_to(relay_to(server)) as sender:
        results: list[Result] = []
        sender.send(messages(5), results, may_continue=lambda: True)
        server.drop_connections()
        assert server.closed_one.wait(5)
        if rested:  # the close is still on its way when the next is sent
            monkeypatch.setattr(smtp, "_RESTED", -1.0)
            monkeypatch.setattr(Wire, "has_spoken", lambda _: False)
        more = [outgoing(n) for n in range(6, 11)]
        sender.send(more, results, may_continue=lambda: True)
    check(server, results)
    assert count(results) == {Outcome.SENT: 10}
    assert server.connections == 2


def test_after_421_it_is_the_relay_that_hangs_up(serve: Serve) -> None:
    """What it still says about those behind is believed: some say 421 and go on."""
    server = serve({"ehlo": CHUNKING, "rcpt": once(8, b"421 4.3.2 busy")}, hangs_up=False)
    results = send(sender_to(relay_to(server)), messages(COUNT))
    check(server, results)
    assert count(results)[Outcome.UNCERTAIN] == 0
    assert [r.problem for r in results if r.outcome is Outcome.DEFERRED] == ["421 4.3.2"]


def test_a_relay_that_goes_on_after_421_has_not_said_goodbye(serve: Serve) -> None:
    """What it took before it broke off, it may have taken."""
    server = serve(
        {"ehlo": CHUNKING, "rcpt": once(8, b"421 4.3.2 busy"), "dot": once(9, DROP)},
        hangs_up=False,
    )
    results = send(sender_to(relay_to(server)), messages(COUNT))
    check(server, results)
    became = {r.seq: r.outcome for r in results}
    assert became.get(8) is Outcome.DEFERRED
    if 10 in became:  # it was on its way by then
        assert became[10] is Outcome.UNCERTAIN


def test_a_text_that_did_not_leave_whole_is_not_in_doubt(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve({"ehlo": CHUNKING})
    write = Wire.send

    def cut(wire: Wire, data: str | bytes) -> None:
        if isinstance(data, bytes) and b"RCPT TO:<r8@" in data and data.startswith(b"RSET"):
            write(wire, data[:-1])
            raise ConnectionResetError("cut before its last octet")
        write(wire, data)

    monkeypatch.setattr(Wire, "send", cut)
    results = send(sender_to(relay_to(server, final_timeout=0.3)), messages(12))
    check(server, results)
    assert count(results) == {Outcome.SENT: 11, Outcome.DEFERRED: 1}
    assert {r.seq: r.problem for r in results}[8] == "no reply in time within the message"


def test_behind_a_break_what_did_not_leave_whole_is_sent_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve({"ehlo": CHUNKING, "dot": once(5, DROP)})
    write, cuts = Wire.send, iter([True])

    def cut(wire: Wire, data: str | bytes) -> None:
        if isinstance(data, bytes) and b"RCPT TO:<r8@" in data and next(cuts, False):
            write(wire, data[:-1])
            raise ConnectionResetError("cut before its last octet")
        write(wire, data)

    def read_late(_stream: Stream, octets: int = 0) -> bool:
        return _stream._unwritten is None and _stream._connection.streams

    monkeypatch.setattr(Wire, "send", cut)
    monkeypatch.setattr(Stream, "has_room", read_late)
    results = send(sender_to(relay_to(server, final_timeout=0.3)), messages(12))
    check(server, results)
    assert [r.seq for r in results if r.outcome is Outcome.UNCERTAIN] == [5, 6, 7]
    assert count(results) == {Outcome.SENT: 9, Outcome.UNCERTAIN: 3}


@pytest.mark.parametrize("where", ["push", "pull"])
def test_a_mistake_of_ours_leaves_nobody_on_the_way_in_the_dark(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    server, good, calls = serve({"ehlo": CHUNKING}), getattr(Stream, where), iter(range(99))

    def stumble(stream: Stream, *arguments: object) -> object:
        done = good(stream, *arguments)
        if next(calls) == 4:
            raise KeyError("x")
        return done

    monkeypatch.setattr(Stream, where, stumble)
    results: list[Result] = []
    with sender_to(relay_to(server)) as sender, pytest.raises(KeyError):
        sender.send(messages(COUNT), results, may_continue=lambda: True)
    check(server, results)
    doubtful = [r for r in results if r.outcome is Outcome.UNCERTAIN]
    assert 1 <= len(doubtful) <= WINDOW
    assert {r.problem for r in doubtful} == {"interrupted"}


def test_nothing_begins_after_a_no_and_what_is_on_the_way_is_heard(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, writes: list[bytes]
) -> None:
    server = serve({"ehlo": CHUNKING})
    stopped = threading.Event()
    pull = Stream.pull

    def stop_at_the_tenth(stream: Stream) -> object:
        said = pull(stream)
        if len(server.accepted) >= 10:
            stopped.set()
        return said

    monkeypatch.setattr(Stream, "pull", stop_at_the_tenth)
    results: list[Result] = []
    begun_late = []

    def may_offer() -> bool:
        begun_late.append((stopped.is_set(), sum(b"MAIL FROM" in data for data in writes)))
        return not stopped.is_set()

    with sender_to(relay_to(server)) as sender:
        sender.send(messages(80), results, may_continue=lambda: True, may_offer=may_offer)
    check(server, results)
    begun = sum(b"MAIL FROM" in data for data in writes)
    assert {mails for late, mails in begun_late if late} == {begun}
    assert count(results) == {Outcome.SENT: begun}
    assert 10 <= begun < 80
    assert server.commands[-1] == "QUIT"


def test_a_text_whose_envelope_was_taken_is_dropped_when_told_to_stop(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, turn, stopped = serve({"ehlo": CHUNKING}), Lane._turn, threading.Event()

    def stop_behind_the_envelope(lane: Lane, *arguments: object) -> object:
        text = turn(lane, *arguments)  # type: ignore[arg-type]
        if server.accepted:
            stopped.set()
        return text

    monkeypatch.setattr(Lane, "_turn", stop_behind_the_envelope)
    results: list[Result] = []
    with sender_to(relay_to(server)) as sender:
        sender.send(
            messages(9),
            results,
            may_continue=lambda: True,
            may_offer=lambda: not stopped.is_set(),
        )
    check(server, results)
    assert len(results) == len(server.accepted) == 1


def test_chunks_of_a_text_without_an_end() -> None:
    transaction = Transaction("s@example.com", "r@example.org", b"A: b\r\n\r\n.no end")
    assert b"".join(transaction.text(chunked=True)) == b"BDAT 11 LAST\r\n\r\n.no end\r\n"
    assert transaction.whole(eight_bit=False).endswith(b"BDAT 17 LAST\r\nA: b\r\n\r\n.no end\r\n")
