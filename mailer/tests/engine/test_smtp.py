"""One connection against a server that misbehaves, stage by stage."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mailer.engine.conversation import Break, Conversation, Stage
from mailer.engine.relay import RelayAddress, tls_context
from mailer.engine.smtp import Connection
from mailer.engine.transaction import Transaction, stuff_dots
from mailer.engine.verdict import Outcome, judge
from mailer.engine.wire import Wire
from mailer.tests.engine.conftest import Serve, relay_to
from mailer.tests.engine.scripted_smtp import DROP, HANG, Answer, ScriptedSMTP

DATA = b"Subject: x\r\n\r\n.one\r\n..two\r\nlast\r\n"


@contextmanager
def connected(relay: RelayAddress) -> Iterator[Connection]:
    connection = Connection(relay)
    yield connection
    connection.quit()


def submit(
    connection: Connection,
    envelope_sender: str = "s@example.com",
    recipient: str = "r@example.org",
    data: bytes = DATA,
) -> Conversation:
    """One message on its own, in two turns."""
    transaction = Transaction(envelope_sender, recipient, data)
    connection.write(None, transaction)
    turn = connection.read()
    if turn.untouched:  # its PIPELINING was a lie: once more without
        assert not connection.is_open
        assert connection.open() is None
        connection.write(None, transaction)
        turn = connection.read()
    if turn.refusal is None:
        connection.write(transaction, None)
        turn = connection.read()
    conversation = turn.refusal or turn.text
    assert conversation is not None
    return conversation


def send(server: ScriptedSMTP, **changes: object) -> Conversation:
    with connected(relay_to(server, **changes)) as connection:
        return connection.open() or submit(connection)


def test_a_message_arrives_as_it_was(serve: Serve) -> None:
    server = serve()
    conversation = send(server)
    assert judge(conversation).outcome is Outcome.SENT
    assert conversation.reply is not None
    assert conversation.reply.enhanced_status == "2.0.0"
    assert [(m.envelope_sender, m.recipient, m.data) for m in server.accepted] == [
        ("s@example.com", "r@example.org", DATA)
    ]
    assert "MAIL FROM:<s@example.com> BODY=8BITMIME" in server.commands
    assert server.commands[-1] == "QUIT"


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize("reply", [b"451 4.3.0 later", b"550 5.7.1 no", b"421 4.3.2 bye"])
def test_a_refusal_at_each_stage_is_a_value(serve: Serve, stage: str, reply: bytes) -> None:
    server = serve({stage: reply})
    with connected(relay_to(server)) as connection:
        assert connection.open() is None
        conversation = submit(connection)
        if reply.startswith(b"421"):
            assert not connection.is_alive()
    assert conversation.stage == stage
    assert conversation.reply is not None
    assert conversation.reply.code == int(reply[:3])
    assert server.accepted == []


BREAKS: list[tuple[Answer, Break]] = [
    (DROP, Break.LOST),
    (b"hello there", Break.GARBAGE),
    (b"", Break.TIMED_OUT),
    (b"999 what", Break.GARBAGE),
    (b"199 what", Break.GARBAGE),
    (b"250-a\r\n550 b", Break.GARBAGE),
    (b"250 " + b"x" * 70000, Break.GARBAGE),
    (b"\r\n".join([b"250-" + b"x" * 1000] * 80), Break.GARBAGE),
    (b"25", Break.GARBAGE),
    ("２５０ fullwidth".encode(), Break.GARBAGE),
]


@pytest.mark.parametrize("stage", ["connect", "ehlo", "mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize(("answer", "broken"), BREAKS)
def test_a_break_at_each_stage(serve: Serve, stage: str, answer: bytes, broken: Break) -> None:
    server = serve({stage: answer})
    patience = 0.1 if broken is Break.TIMED_OUT else 2.0
    conversation = send(
        server, connect_timeout=patience, command_timeout=patience, final_timeout=patience
    )
    assert conversation.stage == ("connect" if stage == "ehlo" else stage)
    assert conversation.broken is broken
    assert conversation.reply is None
    expected = {"dot": Outcome.UNCERTAIN, "connect": Outcome.UNTRIED, "ehlo": Outcome.UNTRIED}
    assert judge(conversation).outcome is expected.get(stage, Outcome.DEFERRED)


def test_a_slow_drip_does_not_outlast_the_time_out(serve: Serve) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    relay = RelayAddress(
        "127.0.0.1", listener.getsockname()[1], security="none", connect_timeout=0.2
    )
    done = threading.Event()

    def drip() -> None:
        client, _ = listener.accept()
        with client:
            while not done.wait(0.05):
                try:
                    client.sendall(b"2")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    with connected(relay) as connection:
        ended = connection.open()
    done.set()
    listener.close()
    thread.join(2)
    assert ended == Conversation(Stage.CONNECT, None, Break.TIMED_OUT, "timed out")


@pytest.mark.parametrize(
    ("missing", "stage", "outcome"),
    [
        (2, Stage.DOT, Outcome.UNCERTAIN),  # the dot alone may do for some
        (3, Stage.BODY, Outcome.DEFERRED),
        (4, Stage.BODY, Outcome.DEFERRED),
    ],
)
def test_a_break_while_the_text_is_written(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, missing: int, stage: Stage, outcome: Outcome
) -> None:
    write = Wire.send

    def cut(wire: Wire, data: str | bytes) -> None:
        if isinstance(data, str) or not data.endswith(b"\r\n.\r\n"):
            write(wire, data)
            return
        write(wire, data[:-missing])
        raise ConnectionResetError("cut within the text")

    monkeypatch.setattr(Wire, "send", cut)
    conversation = send(serve())
    assert conversation.stage is stage
    assert judge(conversation).outcome is outcome


def test_after_the_dot_the_patience_is_longer(serve: Serve) -> None:
    server = serve()

    def answer(_line: bytes, _nth: int) -> bytes:
        server.release.wait(0.4)
        return b"250 2.0.0 queued at last"

    server.script["dot"] = answer
    conversation = send(server, command_timeout=0.2, final_timeout=5.0)
    assert judge(conversation).outcome is Outcome.SENT


def test_252_after_the_dot_is_accepted(serve: Serve) -> None:
    assert judge(send(serve({"dot": b"252 2.0.0 will try"}))).outcome is Outcome.SENT


def test_a_long_reply_is_still_a_reply(serve: Serve) -> None:
    conversation = send(serve({"dot": b"250 " + b"x" * 9000}))
    assert judge(conversation).outcome is Outcome.SENT
    assert conversation.reply is not None
    assert conversation.reply.text == "x" * 1000


def test_a_reply_split_over_lines_is_one_reply(serve: Serve) -> None:
    conversation = send(serve({"rcpt": b"550-5.1.1 no such user\r\n550-5.1.1 really\r\n550 bye"}))
    assert conversation.reply is not None
    assert conversation.reply.text == "5.1.1 no such user 5.1.1 really bye"
    assert conversation.reply.enhanced_status == "5.1.1"


@pytest.mark.parametrize("answer", [b"552 5.3.4 too big", b"451 4.3.0 later", DROP, b"250 early"])
def test_a_relay_that_speaks_before_the_dot_gets_no_dot(serve: Serve, answer: bytes) -> None:
    server = serve({"body": answer})
    # More than the sockets buffer: the relay has spoken before the last of it is written.
    big = (b"x" * 998 + b"\r\n") * 16_000
    with connected(relay_to(server)) as connection:
        assert connection.open() is None
        conversation = submit(connection, "s@example.com", "r@example.org", big)
    assert conversation.stage is Stage.BODY
    assert judge(conversation).outcome is (
        Outcome.FAILED if answer.startswith(b"552") else Outcome.DEFERRED
    )
    assert server.accepted == []


def test_a_drop_after_the_dot_of_a_message_that_was_accepted(serve: Serve) -> None:
    server = serve({"dot": DROP})
    assert judge(send(server)).outcome is Outcome.UNCERTAIN
    assert len(server.accepted) == 1


def test_a_hang_after_the_dot(serve: Serve) -> None:
    conversation = send(serve({"dot": HANG}), final_timeout=0.1)
    assert conversation == Conversation(Stage.DOT, None, Break.TIMED_OUT, "timed out")


@pytest.mark.parametrize("answer", [DROP, b"500 no", b"what?", b""])
def test_errors_at_quit_change_nothing(serve: Serve, answer: bytes) -> None:
    server = serve({"quit": answer})
    assert judge(send(server, command_timeout=0.3)).outcome is Outcome.SENT


@pytest.mark.parametrize(("stage", "refusal"), [("rcpt", b"550 no"), ("data", b"451 later")])
def test_a_refused_transaction_is_reset_before_the_next(
    serve: Serve, stage: str, refusal: bytes
) -> None:
    server = serve(
        {
            stage: lambda _, nth: (
                refusal if nth == 1 else (b"354 go" if stage == "data" else b"250 ok")
            )
        }
    )
    with connected(relay_to(server)) as connection:
        assert connection.open() is None
        first = submit(connection)
        second = submit(connection, "s@example.com", "r2@example.org", DATA)
    assert first.reply is not None
    assert first.reply.code == int(refusal[:3])
    assert judge(second).outcome is Outcome.SENT
    assert server.connections == 1
    assert server.commands.count("RSET") == 1


def test_no_reset_after_an_accepted_message(serve: Serve) -> None:
    server = serve()
    with connected(relay_to(server)) as connection:
        assert connection.open() is None
        for _ in range(3):
            submit(connection)
    assert len(server.accepted) == 3
    assert "RSET" not in server.commands


def test_an_old_server_without_ehlo(serve: Serve) -> None:
    server = serve({"ehlo": b"502 5.5.1 what?"})
    assert judge(send(server)).outcome is Outcome.SENT
    assert "MAIL FROM:<s@example.com>" in server.commands


def test_connection_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    ended = Connection(RelayAddress("127.0.0.1", port, security="none")).open()
    assert ended is not None
    assert (ended.stage, ended.broken) == (Stage.CONNECT, Break.LOST)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".example", "x..y"])
def test_name_not_found(host: str) -> None:
    ended = Connection(RelayAddress(host, 25, security="none")).open()
    assert ended is not None
    assert (ended.stage, ended.broken) == (Stage.CONNECT, Break.LOST)


@pytest.mark.parametrize(
    ("greeting", "code"), [(b"554 5.7.1 go away", 554), (b"421 busy", 421), (b"450 busy", 450)]
)
def test_a_greeting_that_refuses(serve: Serve, greeting: bytes, code: int) -> None:
    conversation = send(serve({"connect": greeting}))
    assert conversation.stage is Stage.CONNECT
    assert conversation.reply is not None
    assert conversation.reply.code == code


EHLO_TLS = b"250-scripted.test\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN"


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_tls_with_login(
    serve: Serve, certificate: Path, server_tls: ssl.SSLContext, security: str
) -> None:
    server = serve({"ehlo": EHLO_TLS}, tls=server_tls, implicit_tls=security == "tls")
    conversation = send(
        server, security=security, ca_file=str(certificate), username="u", password="p"
    )
    assert judge(conversation).outcome is Outcome.SENT
    assert "AUTH PLAIN AHUAcA==" in server.commands
    assert len(server.accepted) == 1


def test_what_left_before_a_break_is_counted_through_tls_too(
    certificate: Path, server_tls: ssl.SSLContext
) -> None:
    """A text's dot must not leave uncounted because what was written behind it did not."""
    listener, broke, received = socket.create_server(("127.0.0.1", 0)), threading.Event(), [0]

    def receive() -> None:
        client = server_tls.wrap_socket(listener.accept()[0], server_side=True)
        broke.wait(5)
        with client, suppress(OSError):
            while data := client.recv(65_536):
                received[0] += len(data)

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    opened = socket.create_connection(listener.getsockname())
    wire = Wire(opened, helo_name="x", patience=2.0)
    wire.wrap(tls_context(str(certificate)), "127.0.0.1")
    wire.patience = 0.2
    with pytest.raises(TimeoutError):
        wire.send(b"x" * 20_000_000)
    wire.sock.close()
    broke.set()
    thread.join(5)
    listener.close()
    assert 0 < received[0] <= wire.sent


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_an_unknown_certificate_ends_it(
    serve: Serve, server_tls: ssl.SSLContext, security: str
) -> None:
    server = serve({"ehlo": EHLO_TLS}, tls=server_tls, implicit_tls=security == "tls")
    conversation = send(server, security=security, username="u", password="p")
    assert (conversation.stage, conversation.broken) == (Stage.TLS, Break.LOST)
    assert "certificate" in conversation.detail
    assert not any(line.startswith("AUTH") for line in server.commands)


def test_starttls_not_offered_never_goes_on_in_the_clear(serve: Serve) -> None:
    server = serve()
    conversation = send(server, security="starttls", username="u", password="p")
    assert (conversation.stage, conversation.broken) == (Stage.TLS, Break.UNUSABLE)
    assert not any(line.startswith(("AUTH", "MAIL")) for line in server.commands)


def test_starttls_refused(serve: Serve) -> None:
    conversation = send(
        serve({"ehlo": EHLO_TLS, "starttls": b"454 4.7.0 not now"}), security="starttls"
    )
    assert conversation.stage is Stage.TLS
    assert judge(conversation).outcome is Outcome.UNTRIED


def test_a_reply_injected_before_tls_is_refused(
    serve: Serve, certificate: Path, server_tls: ssl.SSLContext
) -> None:
    script = {"ehlo": EHLO_TLS, "starttls": b"220 go\r\n250 AUTH injected"}
    server = serve(script, tls=server_tls)
    conversation = send(server, security="starttls", ca_file=str(certificate))
    assert (conversation.stage, conversation.broken) == (Stage.TLS, Break.GARBAGE)


@pytest.mark.parametrize("answer", [b"535 5.7.8 wrong", b"454 4.7.0 later"])
def test_a_refused_login(serve: Serve, answer: bytes) -> None:
    server = serve({"ehlo": EHLO_TLS, "auth": answer})
    conversation = send(server, username="u", password="wrong")
    assert conversation.stage is Stage.AUTH
    assert judge(conversation).relay == "pause"
    assert judge(conversation).outcome is Outcome.UNTRIED
    assert sum(line.startswith("AUTH") for line in server.commands) == 1


def test_login_not_offered(serve: Serve) -> None:
    conversation = send(serve(), username="u", password="p")
    assert (conversation.stage, conversation.broken) == (Stage.AUTH, Break.UNUSABLE)


def test_a_password_outside_ascii_is_named(serve: Serve) -> None:
    conversation = send(serve({"ehlo": EHLO_TLS}), username="u", password="pässword")
    assert (conversation.stage, conversation.broken) == (Stage.AUTH, Break.UNUSABLE)
    assert "ASCII" in conversation.detail


@pytest.mark.parametrize("answer", [DROP, b"garbage", b"334 not base64!"])
def test_a_broken_login(serve: Serve, answer: bytes) -> None:
    server = serve({"ehlo": b"250-x\r\n250 AUTH CRAM-MD5", "auth": answer})
    conversation = send(server, username="u", password="p")
    assert conversation.stage is Stage.AUTH
    assert judge(conversation).outcome is Outcome.UNTRIED


def test_the_password_is_not_shown() -> None:
    relay = RelayAddress("relay.example", 587, username="u", password="hunter2")
    assert "hunter2" not in repr(relay)
    assert str(relay) == "relay.example:587"


@pytest.mark.parametrize(
    "bad", ["a\r\nRCPT TO:<x@y>", "a\n@x", "a>b@x", "a\0@x", "a\u2028b@x", "a\x85@x"]
)
def test_an_address_that_would_end_the_command_is_a_bug(serve: Serve, bad: str) -> None:
    with connected(relay_to(serve())) as connection:
        assert connection.open() is None
        with pytest.raises(ValueError, match="envelope"):
            submit(connection, "s@example.com", bad, DATA)
        with pytest.raises(ValueError, match="envelope"):
            submit(connection, bad, "r@example.org", DATA)


@pytest.mark.parametrize(
    ("data", "stuffed"),
    [
        (b".\r\n", b"..\r\n"),
        (b"a\r\n.b\r\n..\r\n", b"a\r\n..b\r\n...\r\n"),
        (b"a.\r\n", b"a.\r\n"),
        (b"no end", b"no end\r\n"),
        (b"", b"\r\n"),
    ],
)
def test_dots_are_stuffed(data: bytes, stuffed: bytes) -> None:
    assert stuff_dots(data) == stuffed


def test_smtputf8_is_asked_for_only_when_needed(serve: Serve) -> None:
    server = serve({"ehlo": b"250-x\r\n250-8BITMIME\r\n250 SMTPUTF8"})
    with connected(relay_to(server)) as connection:
        assert connection.open() is None
        assert connection.smtputf8
        submit(connection)
        submit(connection, "s@example.com", "δοκιμή@example.org", DATA)
    assert [m.recipient for m in server.accepted] == ["r@example.org", "δοκιμή@example.org"]
    mails = [line for line in server.commands if line.startswith("MAIL")]
    assert [line.endswith(" SMTPUTF8") for line in mails] == [False, True]
