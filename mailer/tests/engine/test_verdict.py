"""The table of replies, row by row."""

from __future__ import annotations

import pytest

from mailer.engine.conversation import Break, Conversation, Stage, parse_reply
from mailer.engine.verdict import Outcome, Verdict, judge, meaning_of, problem_label

SENT = Verdict(Outcome.SENT)
FAILED = Verdict(Outcome.FAILED)
DEFERRED = Verdict(Outcome.DEFERRED)
DEFERRED_PAUSE = Verdict(Outcome.DEFERRED, relay="pause")
UNTRIED_PAUSE = Verdict(Outcome.UNTRIED, relay="pause")
UNTRIED_HOLD = Verdict(Outcome.UNTRIED, relay="hold")
UNCERTAIN = Verdict(Outcome.UNCERTAIN)
FAILED_SUPPRESS = Verdict(Outcome.FAILED, suppress="now")
FAILED_SECOND = Verdict(Outcome.FAILED, suppress="second time")

BEFORE_MAIL = ("connect", "tls", "auth")
REPLIES = [
    # a greeting that turns everybody away
    ("connect", "450 busy", UNTRIED_PAUSE),
    # MAIL 4xx, any 421 but a greeting
    ("mail", "451 4.3.0 later", DEFERRED_PAUSE),
    ("mail", "452 4.3.1 disk", DEFERRED_PAUSE),
    *((stage, "421 4.3.2 bye", DEFERRED_PAUSE) for stage in Stage if stage not in BEFORE_MAIL),
    *((stage, "421 4.3.2 bye", UNTRIED_PAUSE) for stage in BEFORE_MAIL),
    # authentication failure
    ("auth", "535 5.7.8 no", UNTRIED_PAUSE),
    ("auth", "534 5.7.9 stronger", UNTRIED_PAUSE),
    ("auth", "454 4.7.0 login server down", UNTRIED_PAUSE),
    # 5xx at connect or MAIL
    ("connect", "554 5.7.1 no service for you", UNTRIED_HOLD),
    ("mail", "550 5.7.1 sender rejected", UNTRIED_HOLD),
    ("mail", "530 5.7.0 log in first", UNTRIED_HOLD),
    ("mail", "552 5.2.2 full", UNTRIED_HOLD),
    # TLS failure
    ("tls", "454 4.7.0 no TLS now", UNTRIED_PAUSE),
    ("tls", "501 5.5.4 syntax", UNTRIED_PAUSE),
    # RCPT 450, 451, 452, 552
    ("rcpt", "450 4.2.0 greylisted", DEFERRED),
    ("rcpt", "451 4.7.1 later", DEFERRED),
    ("rcpt", "452 4.5.3 too many", DEFERRED),
    ("rcpt", "452 4.1.1 odd", DEFERRED),
    ("rcpt", "552 too many recipients", DEFERRED),
    ("rcpt", "552 5.5.3 too many recipients", DEFERRED),
    # RCPT 550 that says there is no such address
    *(("rcpt", f"550 5.1.{n} gone", FAILED_SUPPRESS) for n in (1, 2, 3, 6, 10)),
    ("rcpt", "553 5.1.3 bad syntax", FAILED_SUPPRESS),
    ("rcpt", "550 5.2.1 disabled", FAILED_SECOND),
    # RCPT 5xx that says no such thing
    ("rcpt", "550 no", FAILED),
    ("rcpt", "550 5.1.0 no", FAILED),
    ("rcpt", "550 5.1.11 no", FAILED),
    ("rcpt", "550 5.1.1x no", FAILED),
    ("rcpt", "550 4.1.1 contradicts itself", FAILED),
    ("rcpt", "551 elsewhere", FAILED),
    ("rcpt", "553 not allowed", FAILED),
    ("rcpt", "554 5.7.1 relay access denied", FAILED),
    ("rcpt", "503 5.5.1 sequence", FAILED),
    # mailbox full
    ("rcpt", "552 5.2.2 full", DEFERRED),
    ("rcpt", "550 5.2.2 full", DEFERRED),
    ("rcpt", "452 4.2.2 full", DEFERRED),
    ("dot", "552 5.2.2 full", DEFERRED),
    ("dot", "452 4.2.2 full", DEFERRED),
    # policy and content: never suppressed
    ("rcpt", "550 5.7.1 policy", FAILED),
    ("rcpt", "552 5.3.0 too many", DEFERRED),
    ("rcpt", "552 5.7.1 not for you", FAILED),
    ("rcpt", "552 5.3.4 too big", FAILED),
    ("data", "554 5.5.1 no valid recipients", FAILED),
    ("data", "451 4.3.0 later", DEFERRED),
    ("body", "552 5.3.4 too big", FAILED),
    ("body", "451 later", DEFERRED),
    ("dot", "550 5.1.1 says it late", FAILED),
    ("dot", "552 5.3.4 too big", FAILED),
    ("dot", "554 5.7.1 spam", FAILED),
    ("dot", "451 4.3.0 later", DEFERRED),
    # accepted
    ("dot", "250 2.0.0 queued", SENT),
    ("dot", "252 2.0.0 will try", SENT),
    ("dot", "200 hm", SENT),
    # replies that do not fit
    ("dot", "354 go on", UNCERTAIN),
    ("body", "250 early", DEFERRED),
    ("rcpt", "354 hm", DEFERRED),
]


@pytest.mark.parametrize(("stage", "line", "verdict"), REPLIES)
def test_each_reply(stage: str, line: str, verdict: Verdict) -> None:
    reply = parse_reply(int(line[:3]), line[4:].encode())
    assert judge(Conversation(Stage(stage), reply)) == verdict


@pytest.mark.parametrize("broken", list(Break))
@pytest.mark.parametrize(
    ("stage", "verdict"),
    [
        (Stage.CONNECT, UNTRIED_PAUSE),
        (Stage.TLS, UNTRIED_PAUSE),
        (Stage.AUTH, UNTRIED_PAUSE),
        (Stage.MAIL, DEFERRED),
        (Stage.RCPT, DEFERRED),
        (Stage.DATA, DEFERRED),
        (Stage.BODY, DEFERRED),
        (Stage.DOT, UNCERTAIN),
    ],
)
def test_each_break(stage: Stage, broken: Break, verdict: Verdict) -> None:
    assert judge(Conversation(stage, None, broken)) == verdict


@pytest.mark.parametrize(
    ("conversation", "label"),
    [
        (Conversation(Stage.RCPT, parse_reply(550, b"5.1.1 who?")), "550 5.1.1"),
        (Conversation(Stage.RCPT, parse_reply(451, b"later")), "451"),
        (
            Conversation(Stage.DOT, None, Break.LOST, "reset"),
            "connection lost after the final dot",
        ),
        (Conversation(Stage.RCPT, None, Break.TIMED_OUT), "no reply in time at RCPT TO"),
    ],
)
def test_labels_to_group_by(conversation: Conversation, label: str) -> None:
    assert problem_label(conversation) == label


def test_every_label_fits_its_column() -> None:
    for stage in Stage:
        for broken in Break:
            assert len(problem_label(Conversation(stage, None, broken))) <= 64


@pytest.mark.parametrize(
    ("code", "enhanced", "text", "part"),
    [
        (550, "5.1.1", "", "does not exist"),
        (552, "5.2.2", "", "full. It is tried again later."),
        (452, "4.2.2", "", "tried again later"),
        (450, "4.2.0", "Greylisted, see", "greylisting"),
        (550, "5.7.99", "", "policy"),
        (550, "", "", "refused the message or the recipient"),
        (550, "5.0.0", "", "refused the message or the recipient"),
        (599, "", "", "refused for good"),
        (250, "2.0.0", "", "accepted"),
        (None, "", "", "no reply"),
        (199, "", "", "unusual"),
    ],
)
def test_meanings(code: int | None, enhanced: str, text: str, part: str) -> None:
    meaning = meaning_of(code, enhanced, text)
    assert part in meaning
    assert meaning.endswith(".")


def test_what_was_given_up_is_not_tried_again() -> None:
    for code, status, text in ((451, "", ""), (552, "5.2.2", ""), (450, "", "greylisted")):
        failed = meaning_of(code, status, text, state="failed")
        assert failed.endswith(" It was given up: its run's time was over.")
        assert "again later" not in meaning_of(code, status, text, state="cancelled")
        assert "given up" not in meaning_of(550, "5.1.1", state="failed")


def test_replies_are_kept_short_and_printable() -> None:
    reply = parse_reply(550, b"5.1.1 \x1b[31mred\x00\r\n\xff" + b"x" * 9000)
    assert reply.enhanced_status == "5.1.1"
    assert reply.text.startswith("5.1.1 [31mred")
    assert len(reply.text) <= 1000
    assert reply.text.isprintable()
