"""Several messages in flight: what becomes of one says nothing about its neighbours."""

from __future__ import annotations

import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailer.engine import smtp
from mailer.engine.kept import KeptConnections
from mailer.engine.lane import Lane
from mailer.engine.relay import RelayAddress
from mailer.engine.sender import Outcome, Outgoing, Result, Sender
from mailer.engine.smtp import Connection
from mailer.engine.wire import Wire
from mailer.tests.engine.conftest import Serve, outgoing, relay_to, sender_to
from mailer.tests.engine.scripted_smtp import CHUNKING, DROP, HANG, ScriptedSMTP

PLAIN = b"250-scripted.test\r\n250 8BITMIME"
PIPELINING = b"250-scripted.test\r\n250-PIPELINING\r\n250 8BITMIME"


def send(sender: Sender, messages: Sequence[Outgoing]) -> list[Result]:
    results: list[Result] = []
    with sender:
        sender.send(messages, results, may_continue=lambda: True)
    return results


def check(server: ScriptedSMTP, results: Sequence[Result]) -> None:
    """I1 and I4 for one sender: at most once each, and nothing accepted that is not known of."""
    accepted = Counter(message.recipient for message in server.accepted)
    assert [address for address, n in accepted.items() if n > 1] == []
    assert len({r.seq for r in results}) == len(results)
    became = {f"r{r.seq}@example.org": r.outcome for r in results}
    sent = {address for address, outcome in became.items() if outcome is Outcome.SENT}
    uncertain = {address for address, outcome in became.items() if outcome is Outcome.UNCERTAIN}
    assert sent <= accepted.keys()
    assert accepted.keys() - sent <= uncertain


def test_the_next_envelope_leaves_with_the_text(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []
    write = Wire.send

    def note(wire: Wire, data: bytes) -> None:
        writes.append(data if isinstance(data, bytes) else data.encode())
        write(wire, data)

    monkeypatch.setattr(Wire, "send", note)
    server = serve()
    results = send(sender_to(relay_to(server)), [outgoing(n) for n in range(1, 6)])
    assert [r.outcome for r in results] == [Outcome.SENT] * 5
    ehlo, *turns, quit_ = writes
    assert (ehlo[:4], quit_[:4]) == (b"ehlo", b"QUIT")
    assert turns[0].count(b"\r\n") == 3
    assert [b"\r\n.\r\nMAIL FROM" in turn for turn in turns] == [False, *[True] * 4, False]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize(
    ("stage", "answer", "outcome", "problem"),
    [
        ("mail", b"451 4.3.0 later", Outcome.DEFERRED, "451 4.3.0"),
        ("rcpt", b"450 4.2.0 later", Outcome.DEFERRED, "450 4.2.0"),
        ("rcpt", b"550 5.1.1 who", Outcome.FAILED, "550 5.1.1"),
        ("rcpt", b"421 4.3.2 bye", Outcome.DEFERRED, "421 4.3.2"),
        ("rcpt", DROP, Outcome.DEFERRED, "connection lost at RCPT TO"),
        ("data", b"451 4.3.0 later", Outcome.DEFERRED, "451 4.3.0"),
        ("data", b"554 5.5.0 no", Outcome.FAILED, "554 5.5.0"),
        ("data", b"421 4.3.2 bye", Outcome.DEFERRED, "421 4.3.2"),
        ("data", DROP, Outcome.DEFERRED, "connection lost at DATA"),
        ("dot", b"252 2.0.0 trying", Outcome.SENT, ""),
        ("dot", b"452 4.3.1 disk", Outcome.DEFERRED, "452 4.3.1"),
        ("dot", b"554 5.7.1 spam", Outcome.FAILED, "554 5.7.1"),
        ("dot", b"421 4.3.2 bye", Outcome.DEFERRED, "421 4.3.2"),
        ("dot", DROP, Outcome.UNCERTAIN, "connection lost after the final dot"),
        ("dot", HANG, Outcome.UNCERTAIN, "no reply in time after the final dot"),
        ("dot", b"hm", Outcome.UNCERTAIN, "unreadable reply after the final dot"),
    ],
)
def test_one_of_many_in_flight(
    serve: Serve,
    *,
    plain: bool,
    connections: int,
    stage: str,
    answer: bytes,
    outcome: Outcome,
    problem: str,
) -> None:
    count, usual = 24, {"data": b"354 go ahead"}.get(stage, b"250 ok")
    server = serve({stage: lambda _, nth: answer if nth == 8 else usual})
    if plain:
        server.script["ehlo"] = PLAIN
    relay = relay_to(server, final_timeout=0.3)
    sender = sender_to(relay, connections=connections)
    results = send(sender, [outgoing(n) for n in range(1, count + 1)])
    check(server, results)
    (odd,) = [r for r in results if r.outcome is not Outcome.SENT or r.code == 252]
    assert (odd.outcome, odd.problem) == (outcome, problem)
    if sender.trouble is None:
        assert len(results) == count
    else:
        # What was on its way beside it was finished; what was not begun can be sent again.
        assert len(results) == sum(r.outcome is Outcome.SENT for r in results) + 1 < count


@pytest.mark.parametrize("connections", [1, 3])
def test_data_that_is_taken_though_nobody_was(serve: Serve, connections: int) -> None:
    server = serve(
        {"rcpt": lambda _, nth: b"550 5.1.1 who" if nth % 3 == 0 else b"250 ok"},
        data_to_nobody=True,
    )
    sender = sender_to(relay_to(server), connections=connections)
    results = send(sender, [outgoing(n) for n in range(1, 25)])
    check(server, results)
    assert Counter(r.outcome for r in results) == {Outcome.SENT: 16, Outcome.FAILED: 8}
    assert "." not in server.commands
    assert server.connections == connections


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    faults=st.dictionaries(
        st.tuples(
            st.sampled_from(["connect", "mail", "rcpt", "data", "bdat", "dot", "rset"]),
            st.integers(1, 20),
        ),
        st.sampled_from(
            [
                *(DROP, HANG, b"421 bye", b"451 later", b"550 5.1.1 no"),
                *(b"hm", b"250 what", b"354 what", b""),
            ]
        ),
        max_size=6,
    ),
    connections=st.integers(1, 3),
    mode=st.sampled_from([PLAIN, PIPELINING, CHUNKING]),
    hangs_up=st.booleans(),
    lingers=st.booleans(),
    to_nobody=st.booleans(),
    accepts=st.booleans(),
)
def test_whatever_goes_wrong_nothing_is_sent_twice_or_forgotten(
    *,
    faults: dict[tuple[str, int], bytes],
    connections: int,
    mode: bytes,
    hangs_up: bool,
    lingers: bool,
    to_nobody: bool,
    accepts: bool,
) -> None:
    usual = {"connect": b"220 x", "data": b"354 go ahead"}
    if mode is not CHUNKING or b"421 bye" in faults.values():
        # What replaces the reply that is missing then, nobody can tell from it.
        faults = {where: answer for where, answer in faults.items() if answer}

    def answers(command: str) -> Callable[[bytes, int], bytes]:
        return lambda _, nth: faults.get((command, nth), usual.get(command, b"250 ok"))

    commands = ("connect", "mail", "rcpt", "data", "bdat", "dot", "rset")
    left: list[bytes] = []
    write = Wire.send

    def note(wire: Wire, data: str | bytes) -> None:
        try:
            write(wire, data)
        finally:
            if wire.sent == len(data):
                left.append(data.encode() if isinstance(data, str) else data)

    with (
        pytest.MonkeyPatch.context() as patches,
        ScriptedSMTP(
            {"ehlo": mode} | {name: answers(name) for name in commands},
            hangs_up=hangs_up,
            lingers=lingers or not hangs_up,  # who goes on after 421 has its replies read
            data_to_nobody=to_nobody,
            accepts_dropped=accepts,
        ) as server,
    ):
        patches.setattr(smtp, "FAR_AWAY", 0.0)
        patches.setattr(Wire, "send", note)
        relay = relay_to(server, connect_timeout=0.2, command_timeout=0.2, final_timeout=0.2)
        waiting = {n: outgoing(n) for n in range(1, 25)}
        all_results: list[Result] = []
        for _ in range(3):  # as after a relay's pause: what has no result is sent again
            results = send(sender_to(relay, connections=connections), list(waiting.values()))
            all_results += results
            for result in results:
                del waiting[result.seq]
        server.release.set()
    check(server, all_results)
    written = b"".join(left)
    for result in all_results:
        if result.outcome is Outcome.UNCERTAIN:  # it is: the last of its text left
            assert b"\r\n\r\nDear R%d\r\n" % result.seq in written


class LiarHandler(socketserver.StreamRequestHandler):
    """Offers PIPELINING and cannot do it: reads a chunk, and takes it for one command."""

    server: Liar

    def handle(self) -> None:
        self.request.sendall(b"220 liar\r\n")
        text, recipient = b"", ""
        in_text = False
        while chunk := self.request.recv(65536):
            if in_text:
                text += chunk
                if not self.server.ends(text):
                    continue
                self.server.accepted.append((recipient, text))
                in_text, answer = False, b"250 2.0.0 taken"
            else:
                command = chunk.split(None, 1)[0].upper()
                text = b""
                if command == b"EHLO":
                    answer = b"250-liar\r\n250-PIPELINING\r\n250 8BITMIME"
                elif command == b"QUIT":
                    return
                elif self.server.whole and command == b"MAIL" and b"DATA\r\n" in chunk:
                    # It copes before the text; what comes behind one is where it goes wrong.
                    recipient = chunk.split(b"RCPT TO:<")[1].split(b">")[0].decode()
                    answer, in_text = b"250 ok\r\n250 ok\r\n354 go", True
                elif command == b"DATA":
                    answer, in_text = b"354 go", True
                else:
                    if command == b"RCPT":
                        recipient = chunk.split(b"<")[1].split(b">")[0].decode()
                    answer = b"250 ok"
            self.request.sendall(answer + b"\r\n")


class Liar(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *, whole: bool, ends: Callable[[bytes], bool]) -> None:
        super().__init__(("127.0.0.1", 0), LiarHandler)
        self.whole, self.ends = whole, ends
        self.accepted: list[tuple[str, bytes]] = []


@contextmanager
def lying(**options: object) -> Iterator[Liar]:
    with Liar(**options) as server:  # type: ignore[arg-type]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def is_ended(text: bytes) -> bool:
    return b"\r\n.\r\n" in text


def is_ended_with(text: bytes) -> bool:
    return text.endswith(b"\r\n.\r\n")


@pytest.mark.parametrize(
    ("options", "in_doubt"),
    [
        # One reply for each packet: known before any text is at stake.
        ({"whole": False, "ends": is_ended}, 0),
        # It throws away what comes behind the text: one message for each connection is in doubt.
        ({"whole": True, "ends": is_ended}, 1),
        # It takes the next envelope for more of the text, and waits for its end.
        ({"whole": True, "ends": is_ended_with}, 1),
    ],
)
def test_a_relay_whose_pipelining_is_a_lie(options: dict[str, object], in_doubt: int) -> None:
    with lying(**options) as server:
        relay = RelayAddress(
            "127.0.0.1",
            server.server_address[1],
            security="none",
            command_timeout=0.3,
            final_timeout=0.3,
        )
        kept = KeptConnections(idle_seconds=0)
        results = send(sender_to(relay, kept=kept), [outgoing(n) for n in range(1, 6)])
        kept.close()  # what was learnt outlives the connection
        results += send(sender_to(relay, kept=kept), [outgoing(n) for n in range(6, 11)])
        kept.close()
    outcomes = Counter(r.outcome for r in results)
    assert outcomes[Outcome.UNCERTAIN] == in_doubt
    assert outcomes[Outcome.SENT] == 10 - in_doubt
    accepted = Counter(recipient for recipient, _ in server.accepted)
    assert max(accepted.values()) == 1
    assert {
        f"r{r.seq}@example.org" for r in results if r.outcome is Outcome.SENT
    } <= accepted.keys()
    assert all(is_ended_with(text) or b"MAIL FROM" in text for _, text in server.accepted)


def test_a_relay_that_takes_one_connection_at_a_time(serve: Serve) -> None:
    server = serve({"connect": lambda _, nth: b"220 hello" if nth == 1 else b"421 one is enough"})
    sender = sender_to(relay_to(server), connections=4)
    results = send(sender, [outgoing(n) for n in range(1, 101)])
    check(server, results)
    assert [r.outcome for r in results] == [Outcome.SENT] * 100
    assert sender.trouble is None


def test_connections_share_the_work(serve: Serve) -> None:
    server = serve()
    results = send(sender_to(relay_to(server), connections=3), [outgoing(n) for n in range(1, 61)])
    check(server, results)
    assert len(results) == 60
    assert server.connections == 3


def test_few_messages_are_not_worth_a_second_connection(serve: Serve) -> None:
    server = serve()
    send(sender_to(relay_to(server), connections=3), [outgoing(n) for n in range(1, 8)])
    assert server.connections == 1


def test_a_connection_outlives_its_sender_and_is_let_go_when_idle(serve: Serve) -> None:
    server, kept = serve(), KeptConnections(idle_seconds=0.2)
    for seq in (1, 2, 3):
        send(sender_to(relay_to(server), kept=kept), [outgoing(seq)])
    assert server.connections == 1
    assert "QUIT" not in server.commands
    assert server.closed_one.wait(5)
    assert server.commands[-1] == "QUIT"
    send(sender_to(relay_to(server), kept=kept), [outgoing(4)])
    assert len(server.accepted) == 4
    kept.close()


def test_a_connection_is_renewed_after_so_many_messages(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailer.engine.lane.MESSAGES_A_CONNECTION", 5)
    server = serve()
    results = send(sender_to(relay_to(server)), [outgoing(n) for n in range(1, 13)])
    assert [r.outcome for r in results] == [Outcome.SENT] * 12
    assert server.connections == 3
    assert server.commands.count("QUIT") == 3


@pytest.mark.parametrize("where", ["write", "read"])
def test_a_mistake_of_ours_is_raised_and_leaves_nobody_in_the_dark(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    server, good, calls = serve(), getattr(Connection, where), iter(range(99))

    def stumble(connection: Connection, *arguments: object) -> object:
        done = good(connection, *arguments)
        if next(calls) == 4:
            raise KeyError("x")
        return done

    monkeypatch.setattr(Connection, where, stumble)
    results: list[Result] = []
    with sender_to(relay_to(server)) as sender, pytest.raises(KeyError):
        sender.send([outgoing(n) for n in range(1, 10)], results, may_continue=lambda: True)
    check(server, results)
    assert [r.outcome for r in results] == [Outcome.SENT] * 3 + [Outcome.UNCERTAIN]
    assert results[-1].problem == "interrupted"


def test_what_waits_for_its_text_is_dropped_when_told_to_stop(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    stopped = threading.Event()
    turn = Lane._turn

    def stop_behind_the_envelope(lane: Lane, *arguments: object) -> object:
        text = turn(lane, *arguments)  # type: ignore[arg-type]
        if len(server.accepted) == 3:
            stopped.set()
        return text

    monkeypatch.setattr(Lane, "_turn", stop_behind_the_envelope)
    results: list[Result] = []
    with sender_to(relay_to(server)) as sender:
        sender.send(
            [outgoing(n) for n in range(1, 10)],
            results,
            may_continue=lambda: True,
            may_offer=lambda: not stopped.is_set(),
        )
    check(server, results)
    assert len(results) == len(server.accepted) == 3
    assert server.commands[-1] == "DATA", "an envelope whose text never came"
