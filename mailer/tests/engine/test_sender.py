"""Messages in, outcomes out, against a server that misbehaves."""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Callable, Sequence

import pytest

from mailer.engine.attachments import Attachment, encode_file
from mailer.engine.frame import Frame, FrameSpec
from mailer.engine.pace import Pace
from mailer.engine.relay import RelayAddress
from mailer.engine.render import Content, compile_content
from mailer.engine.sender import Composer, Outcome, Outgoing, Result, Sender
from mailer.tests.engine.conftest import NOW, Serve, outgoing, relay_to, sender_to
from mailer.tests.engine.scripted_smtp import DROP, HANG, ScriptedSMTP
from mailer.tests.spans import most_in


def yes() -> bool:
    return True


def run(sender: Sender, messages: Sequence[Outgoing]) -> list[Result]:
    results: list[Result] = []
    with sender:
        sender.send(messages, results, may_continue=yes)
    return results


def send(server: ScriptedSMTP, count: int = 1, **relay: object) -> tuple[list[Result], Sender]:
    sender = sender_to(relay_to(server, **relay))
    return run(sender, [outgoing(seq) for seq in range(1, count + 1)]), sender


def on(nth: int, answer: bytes, otherwise: bytes = b"250 ok") -> Callable[[bytes, int], bytes]:
    return lambda _line, count: answer if count == nth else otherwise


def test_all_is_well(serve: Serve) -> None:
    server = serve()
    results, sender = send(server, 3)
    assert [(r.seq, r.outcome, r.problem) for r in results] == [
        (seq, Outcome.SENT, "") for seq in (1, 2, 3)
    ]
    first = results[0]
    assert (first.code, first.enhanced_status, first.reply) == (250, "2.0.0", "2.0.0 queued")
    assert (first.suppress, first.at) == ("never", NOW)
    assert sender.trouble is None
    assert server.connections == 1
    assert [m.envelope_sender for m in server.accepted] == [
        f"bounces+{seq}@example.com" for seq in (1, 2, 3)
    ]
    assert b"Dear R2" in server.accepted[1].data
    assert b"Message-ID: <00000000000000000000000000000001@example.com>" in server.accepted[0].data


def test_one_bad_recipient_of_three(serve: Serve) -> None:
    server = serve({"rcpt": on(2, b"550 5.1.1 no such user")})
    results, sender = send(server, 3)
    assert [r.outcome for r in results] == [Outcome.SENT, Outcome.FAILED, Outcome.SENT]
    assert (results[1].problem, results[1].suppress) == ("550 5.1.1", "now")
    assert sender.trouble is None
    assert len(server.accepted) == 2


@pytest.mark.parametrize(
    ("script", "outcome", "problem"),
    [
        ({"rcpt": b"450 4.2.0 later"}, Outcome.DEFERRED, "450 4.2.0"),
        ({"data": b"451 later"}, Outcome.DEFERRED, "451"),
        ({"data": b"554 5.5.1 no"}, Outcome.FAILED, "554 5.5.1"),
        ({"dot": b"554 5.7.1 spam"}, Outcome.FAILED, "554 5.7.1"),
        ({"dot": b"452 4.3.1 disk"}, Outcome.DEFERRED, "452 4.3.1"),
        ({"dot": b"252 2.0.0 trying"}, Outcome.SENT, ""),
        ({"dot": DROP}, Outcome.UNCERTAIN, "connection lost after the final dot"),
        ({"dot": HANG}, Outcome.UNCERTAIN, "no reply in time after the final dot"),
        ({"dot": b"hm"}, Outcome.UNCERTAIN, "unreadable reply after the final dot"),
        ({"rcpt": DROP}, Outcome.DEFERRED, "connection lost at RCPT TO"),
        ({"data": b"hm"}, Outcome.DEFERRED, "unreadable reply at DATA"),
        ({"quit": DROP}, Outcome.SENT, ""),
    ],
)
def test_outcomes_that_leave_the_relay_alone(
    serve: Serve, script: dict[str, object], outcome: Outcome, problem: str
) -> None:
    (result,), sender = send(serve(script), final_timeout=0.2)
    assert (result.outcome, result.problem) == (outcome, problem)
    assert sender.trouble is None


@pytest.mark.parametrize(
    ("script", "kind", "outcomes"),
    [
        ({"connect": b"450 busy"}, "pause", []),
        ({"connect": b"421 busy"}, "pause", []),
        ({"mail": b"451 4.3.0 later"}, "pause", [Outcome.DEFERRED]),
        ({"rcpt": b"421 4.3.2 closing"}, "pause", [Outcome.DEFERRED]),
        ({"dot": b"421 4.3.2 closing"}, "pause", [Outcome.DEFERRED]),
        ({"connect": DROP}, "pause", []),
        ({"connect": b"554 5.7.1 blocked"}, "hold", []),
        ({"mail": b"550 5.7.1 sender rejected"}, "hold", []),
        ({"mail": b"530 5.7.0 log in"}, "hold", []),
    ],
)
def test_outcomes_that_stop_sending(
    serve: Serve, script: dict[str, object], kind: str, outcomes: list[Outcome]
) -> None:
    server = serve(script)
    results, sender = send(server, 3)
    assert [r.outcome for r in results] == outcomes
    assert all(r.suppress == "never" for r in results)
    assert sender.trouble is not None
    assert sender.trouble.kind == kind
    assert f"127.0.0.1:{server.port}" in sender.trouble.reason
    assert server.connections == 1


@pytest.mark.parametrize(
    ("suspect", "tried"), [(True, 1), (False, 3)], ids=["after trouble", "as a rule"]
)
@pytest.mark.parametrize("stage", ["data", "dot"])
def test_after_trouble_the_first_break_stops_sending(
    serve: Serve, stage: str, tried: int, *, suspect: bool
) -> None:
    server = serve({stage: DROP})
    sender = sender_to(relay_to(server), suspect=suspect)
    assert len(run(sender, [outgoing(seq) for seq in range(1, 9)])) == tried
    assert sender.trouble is not None
    assert sender.trouble.kind == "pause"
    assert ("broke off again" in sender.trouble.reason) is suspect


@pytest.mark.parametrize("answer", [b"250 ok", b"451 4.7.1 later", b"550 5.1.1 nobody"])
def test_an_answer_about_a_message_ends_the_doubt_about_a_relay(
    serve: Serve, answer: bytes
) -> None:
    server = serve({"rcpt": lambda _line, count: answer if count == 1 else DROP})
    sender = sender_to(relay_to(server), suspect=True)
    assert len(run(sender, [outgoing(seq) for seq in range(1, 9)])) == 1 + 3


def test_a_refused_login_blames_nobody(serve: Serve) -> None:
    server = serve({"ehlo": b"250-x\r\n250 AUTH PLAIN", "auth": b"535 5.7.8 wrong"})
    results, sender = send(server, 3, username="u", password="hunter2")
    assert results == []
    assert sender.trouble is not None
    assert sender.trouble.kind == "pause"
    assert "535 5.7.8" in sender.trouble.reason
    assert "hunter2" not in sender.trouble.reason


def test_a_relay_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    results: list[Result] = []
    with sender_to(RelayAddress("127.0.0.1", port, security="none")) as sender:
        for _ in range(2):
            sender.send([outgoing()], results, may_continue=yes)
            assert sender.trouble is not None
            assert sender.trouble.kind == "pause"
    assert results == []


def test_a_break_is_followed_by_a_new_connection(serve: Serve) -> None:
    server = serve({"rcpt": on(1, DROP)})
    results, sender = send(server, 2)
    assert [r.outcome for r in results] == [Outcome.DEFERRED, Outcome.SENT]
    assert sender.trouble is None
    assert server.connections == 2


def test_breaks_in_a_row_pause_the_relay(serve: Serve) -> None:
    server = serve({"dot": DROP})
    results, sender = send(server, 9)
    assert [r.outcome for r in results] == [Outcome.UNCERTAIN] * 3
    assert sender.trouble is not None
    assert sender.trouble.kind == "pause"


def test_breaks_that_are_not_in_a_row_do_not(serve: Serve) -> None:
    server = serve({"dot": lambda _, nth: DROP if nth % 2 else b"250 ok"})
    results, sender = send(server, 9)
    assert len(results) == 9
    assert sender.trouble is None


def test_a_kept_connection_that_was_closed_is_opened_again(serve: Serve) -> None:
    server = serve()
    with sender_to(relay_to(server)) as sender:
        results: list[Result] = []
        sender.send([outgoing(1)], results, may_continue=yes)
        server.drop_connections()
        assert server.closed_one.wait(5)
        sender.send([outgoing(2)], results, may_continue=yes)
    assert [r.outcome for r in results] == [Outcome.SENT, Outcome.SENT]
    assert server.connections == 2
    assert len(server.accepted) == 2


@pytest.mark.parametrize("answer", [DROP, b"421 4.7.0 too many messages on this connection"])
def test_a_kept_connection_that_ends_at_mail(serve: Serve, answer: bytes) -> None:
    server = serve({"mail": on(2, answer)})
    results, sender = send(server, 3)
    assert [r.outcome for r in results] == [Outcome.SENT] * 3
    assert sender.trouble is None
    assert server.connections == 2
    assert sorted(m.recipient for m in server.accepted) == [f"r{n}@example.org" for n in (1, 2, 3)]


def test_a_kept_connection_that_ends_at_mail_is_opened_again_only_once(serve: Serve) -> None:
    server = serve({"mail": lambda _, nth: b"250 ok" if nth == 1 else DROP})
    results, _ = send(server, 2)
    assert [r.outcome for r in results] == [Outcome.SENT, Outcome.DEFERRED]
    assert server.connections == 2


@pytest.mark.parametrize("answer", [DROP, b"502 5.5.1 no RSET here", b"hm"])
def test_a_failed_reset_blames_nobody(serve: Serve, answer: bytes) -> None:
    server = serve({"rcpt": on(1, b"550 5.1.1 who?"), "rset": answer})
    results, sender = send(server, 2)
    assert [r.outcome for r in results] == [Outcome.FAILED, Outcome.SENT]
    assert sender.trouble is None
    assert server.connections == 2


def test_a_drop_after_mail_is_not_tried_again(serve: Serve) -> None:
    server = serve({"rcpt": on(2, DROP)})
    results, _ = send(server, 2)
    assert [r.outcome for r in results] == [Outcome.SENT, Outcome.DEFERRED]
    assert server.connections == 1


def test_a_template_problem_fails_one_message_without_smtp(serve: Serve) -> None:
    server = serve()
    sender = sender_to(relay_to(server))
    results = run(sender, [outgoing(1, variables={}), outgoing(2)])
    assert [r.outcome for r in results] == [Outcome.FAILED, Outcome.SENT]
    assert results[0].problem == "template: name is missing"
    assert results[0].code is None
    assert len(server.accepted) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "a\r\nb@example.org"},
        {"address": "ü@example.org"},
        {"address": "no-at-sign"},
        {"address": "a@b@example.org"},
        {"address": "a@exa mple.org"},
        {"address": "a@-.org"},
        {"address": "x" * 65 + "@example.org"},
        {"name": "a\nBcc: b@example.org"},
        {"headers": {"Bcc": "b@example.org"}},
        {"headers": {"List-Unsubscribe": "<https://x/>\r\nBcc: b@example.org"}},
    ],
)
def test_a_message_that_cannot_be_written_fails_by_name(
    serve: Serve, changes: dict[str, object]
) -> None:
    server = serve()
    results = run(sender_to(relay_to(server)), [outgoing(1, **changes), outgoing(2)])
    assert [r.outcome for r in results] == [Outcome.FAILED, Outcome.SENT]
    assert results[0].problem.startswith(("address: ", "message: "))
    assert len(results[0].problem) <= 64
    assert results[0].problem.isprintable()
    assert len(server.accepted) == 1


def test_an_international_domain_goes_out_as_a_label(serve: Serve) -> None:
    server = serve()
    run(sender_to(relay_to(server)), [outgoing(1, address="user@faß.de")])
    assert server.accepted[0].recipient == "user@xn--fa-hia.de"
    assert b"<user@xn--fa-hia.de>" in server.accepted[0].data


@pytest.mark.parametrize("extensions", [b"", b"250-SMTPUTF8\r\n"])
def test_a_local_part_outside_ascii_needs_the_extension(serve: Serve, extensions: bytes) -> None:
    server = serve({"ehlo": b"250-x\r\n" + extensions + b"250 8BITMIME"})
    (result,) = run(sender_to(relay_to(server)), [outgoing(1, address="δοκιμή@example.org")])
    assert result.outcome is (Outcome.SENT if extensions else Outcome.FAILED)


def test_eight_bit_only_where_offered(serve: Serve) -> None:
    variables = {"name": "Zoë"}
    plain, eight = serve({"ehlo": b"250 x"}), serve()
    for server in (plain, eight):
        run(sender_to(relay_to(server)), [outgoing(1, variables=variables)])
    assert plain.accepted[0].data.isascii()
    assert "Dear Zoë".encode() in eight.accepted[0].data
    assert eight.commands[1].endswith(" BODY=8BITMIME")


def test_a_bad_envelope_sender_holds_the_run(serve: Serve) -> None:
    server = serve()
    sender = sender_to(relay_to(server), envelope_sender=lambda _: "bounce@exa mple")
    assert run(sender, [outgoing()]) == []
    assert sender.trouble is not None
    assert sender.trouble.kind == "hold"
    assert "envelope sender" in sender.trouble.reason
    assert server.connections == 0


def broken_key(_message: bytes) -> bytes:
    raise OSError("the key cannot be read")


@pytest.mark.parametrize(
    ("signer", "words"),
    [
        (broken_key, "OSError: the key cannot be read"),
        (lambda _message: None, "NoneType, not bytes"),
        (lambda message: b"X: y\n" + message, "not part of a CRLF"),
    ],
)
@pytest.mark.parametrize("connections", [1, 3])
def test_a_signer_that_fails_holds_the_run_and_blames_nobody(
    serve: Serve, signer: object, words: str, connections: int
) -> None:
    server = serve()
    sender = sender_to(relay_to(server), signer=signer, connections=connections)
    assert run(sender, [outgoing(n) for n in range(30)]) == []
    assert sender.trouble is not None
    assert sender.trouble.kind == "hold"
    assert sender.trouble.reason.startswith(f"No mail is given to 127.0.0.1:{server.port}: signing")
    assert words in sender.trouble.reason
    assert server.accepted == []


def test_a_signer_that_fails_later_leaves_the_rest_untried(serve: Serve) -> None:
    server = serve()
    signed: list[bytes] = []

    def sign(message: bytes) -> bytes:
        signed.append(message)
        return message if len(signed) < 5 else broken_key(message)

    sender = sender_to(relay_to(server), signer=sign)
    results = run(sender, [outgoing(n) for n in range(9)])
    assert {result.outcome for result in results} == {Outcome.SENT}
    assert 0 < len(results) == len(server.accepted) < 5
    assert sender.trouble is not None


def size(octets: str) -> bytes:
    """An answer to EHLO."""
    return f"250-scripted.test\r\n250-PIPELINING\r\n250-SIZE {octets}\r\n250 8BITMIME".encode()


def test_a_message_larger_than_the_relay_takes_fails_alone_before_it_leaves(serve: Serve) -> None:
    server = serve({"ehlo": size("1000")})
    sender = sender_to(relay_to(server))
    messages = [outgoing(n, variables={"name": "x" * (450 if n == 4 else 9)}) for n in range(9)]
    results = {result.seq: result for result in run(sender, messages)}
    assert [seq for seq, result in results.items() if result.outcome is Outcome.FAILED] == [4]
    assert results[4].suppress == "never"
    assert re.fullmatch(
        r"The message has 2,[0-9]{3} octets; the relay takes 1,000\.", results[4].reply
    )
    assert len([command for command in server.commands if command.startswith("MAIL")]) == 8
    assert sender.trouble is None


BRANCHES = (
    "Dear {{ name }}{% if long %}" + "x" * 3000 + "{% endif %}{% for n in name %}y{% endfor %}"
)


EITHER = "{% if long %}" + "x\n" * 1500 + "{% else %}" + "y\n" * 1500 + "{% endif %}"


def of_size(server: ScriptedSMTP, text: str, *files: Attachment, html: str = "") -> Sender:
    frame = Frame(
        FrameSpec(("News", "news@example.com"), "example.com"), files=[*map(encode_file, files)]
    )
    renderer = compile_content(Content("Hello", html, text))
    composer = Composer(frame, renderer, envelope_sender=lambda _: "news@example.com")
    return Sender(relay_to(server), composer)


@pytest.mark.parametrize(
    ("text", "octets"),
    [("x\n" * 1500, 0), (BRANCHES, 2000), ("x\n" * 700 + BRANCHES, 400), (EITHER, 0)],
)
def test_a_message_that_is_too_large_for_all_holds_the_run_and_blames_nobody(
    serve: Serve, text: str, octets: int
) -> None:
    server = serve({"ehlo": size("2500")})
    file = Attachment("a.bin", "application/octet-stream", bytes(octets))
    sender = of_size(server, text, file)
    long = {"name": "Ann", "long": True}
    assert run(sender, [outgoing(n, variables=long) for n in range(3)]) == []
    assert sender.trouble is not None
    assert sender.trouble.kind == "hold"
    found = re.search(r"every message has at least ([0-9,]+) octets", sender.trouble.reason)
    assert found is not None
    assert int(found[1].replace(",", "")) > 2500
    assert "the relay takes 2,500" in sender.trouble.reason
    assert not [command for command in server.commands if command.startswith("MAIL")]


def test_a_text_made_of_the_html_counts(serve: Serve) -> None:
    html = "<p>Dear {{ name }}</p>" + "<p>hello world, this is it</p>\n" * 60
    assert len(html) < 2500
    sender = of_size(serve({"ehlo": size("2500")}), "", html=html)
    assert run(sender, [outgoing(n) for n in range(3)]) == []
    assert sender.trouble is not None
    assert sender.trouble.kind == "hold"


def test_one_huge_value_holds_nobody_else_up(serve: Serve) -> None:
    """A branch holds the line ends: what stands round it is no line of more than 998 octets."""
    line = "é" * 480
    text = "{{ name }}\n" + (line + "{% if name %}\n{% endif %}" + line + "\n") * 4
    sender = of_size(serve({"ehlo": size("9000")}), text)
    messages = [outgoing(n, variables={"name": "x\n" * (4000 if n == 2 else 1)}) for n in range(4)]
    results = {result.seq: result.outcome for result in run(sender, messages)}
    assert results == {n: Outcome.FAILED if n == 2 else Outcome.SENT for n in range(4)}
    assert sender.trouble is None


def test_a_branch_that_is_too_large_fails_those_who_get_it(serve: Serve) -> None:
    sender = of_size(serve({"ehlo": size("2500")}), BRANCHES)
    messages = [outgoing(n, variables={"name": "Ann", "long": n == 2}) for n in range(4)]
    results = {result.seq: result.outcome for result in run(sender, messages)}
    assert results == {n: Outcome.FAILED if n == 2 else Outcome.SENT for n in range(4)}
    assert sender.trouble is None


def test_a_message_of_just_the_size_is_sent(serve: Serve) -> None:
    first = serve()
    send(first)
    server = serve({"ehlo": size(str(len(first.accepted[0].data)))})
    ((result,), sender) = send(server)
    assert (result.outcome, sender.trouble) == (Outcome.SENT, None)


@pytest.mark.parametrize("octets", ["0", "", "=500", "5e2", "9" * 5000])
def test_a_relay_that_names_no_size_has_no_limit(serve: Serve, octets: str) -> None:
    ((result,), sender) = send(serve({"ehlo": size(octets)}))
    assert (result.outcome, sender.trouble) == (Outcome.SENT, None)


def test_the_null_sender_is_allowed(serve: Serve) -> None:
    server = serve()
    results = run(sender_to(relay_to(server), envelope_sender=lambda _: ""), [outgoing()])
    assert results[0].outcome is Outcome.SENT
    assert server.accepted[0].envelope_sender == ""


def test_it_asks_before_each_message(serve: Serve) -> None:
    server = serve()
    results: list[Result] = []
    with sender_to(relay_to(server)) as sender:
        sender.send(
            [outgoing(n) for n in range(9)],
            results,
            may_continue=yes,
            may_offer=lambda: len(server.accepted) < 2,
        )
    assert sender.trouble is None
    assert len(results) == len(server.accepted) < 4
    assert all(r.outcome is Outcome.SENT for r in results)


def test_it_asks_the_caller_again_and_again(serve: Serve) -> None:
    server = serve()
    server.script["dot"] = lambda *_: b"" if server.release.wait(0.2) else b"250 ok"
    asked = iter([True, True, False])
    results: list[Result] = []
    with sender_to(relay_to(server)) as sender:
        sender.send(
            [outgoing(n) for n in range(99)], results, may_continue=lambda: next(asked, False)
        )
    assert 1 <= len(results) == len(server.accepted) < 9


def test_it_asks_again_after_connecting(serve: Serve) -> None:
    server = serve()
    results: list[Result] = []
    with sender_to(relay_to(server)) as sender:
        sender.send(
            [outgoing()], results, may_continue=yes, may_offer=lambda: not server.connections
        )
    assert results == []
    assert server.connections == 1
    assert not any(line.startswith("MAIL") for line in server.commands)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


def test_the_pace_spreads_messages_evenly() -> None:
    clock = Clock()
    pace = Pace(10, monotonic=lambda: clock.now, sleep=clock.sleep)
    times = []
    for _ in range(5):
        assert pace.wait(yes)
        times.append(round(clock.now, 6))
    assert times == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_the_pace_makes_up_for_nothing() -> None:
    clock = Clock()
    pace = Pace(10, monotonic=lambda: clock.now, sleep=clock.sleep)
    pace.wait(yes)
    clock.now = 100.0
    pace.wait(yes)
    pace.wait(yes)
    assert round(clock.now, 6) == 100.1


def test_no_second_has_more_than_the_pace_where_sleep_ends_late() -> None:
    clock, chance = Clock(), random.Random(1)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds + chance.choice([0.0, 0.0, 0.0, 0.048]))

    pace = Pace(20 / 1.03, monotonic=lambda: clock.now, sleep=sleep)
    times = [clock.now for _ in range(2000) if pace.wait(yes)]
    assert most_in(times, 1.0) == 20
    assert 1999 / times[-1] >= 0.95 * 20


def test_waiting_for_the_pace_can_be_interrupted() -> None:
    clock = Clock()
    pace = Pace(1 / 60, monotonic=lambda: clock.now, sleep=clock.sleep)
    assert pace.wait(yes)
    assert not pace.wait(lambda: clock.now < 1)
    assert clock.now < 1.5
    assert max(clock.naps) <= 0.25


def test_without_a_rate_there_is_no_wait() -> None:
    pace = Pace(None, monotonic=lambda: 1 / 0, sleep=lambda _: None)
    assert pace.wait(yes)
    assert not pace.wait(lambda: False)


@pytest.mark.parametrize("rate", [0, -1])
def test_a_rate_is_above_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Pace(rate)
