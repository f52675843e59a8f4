"""Messages built here, read back by Python's own parser."""

from __future__ import annotations

import re
import sys
from base64 import b64decode
from datetime import datetime, timedelta, timezone
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailer.engine.addresses import AddressError, wire_address
from mailer.engine.frame import Frame, FrameSpec, SigningError, message_id
from mailer.engine.render import Rendered
from mailer.tests.engine.conftest import NOW

SINGLETONS = [
    *("From", "To", "Subject", "Date", "Message-ID", "Reply-To", "List-Id", "Feedback-ID"),
    *("Auto-Submitted", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
    *("List-Unsubscribe", "List-Unsubscribe-Post"),
]
UNSUBSCRIBE = {
    "List-Unsubscribe": "<https://mail.example.com/u/" + "t" * 120 + ">",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
}
SPEC = FrameSpec(
    ("Müller & Söhne, Köln", "news@example.com"),
    "example.com",
    reply_to=("", "office@example.com"),
    list_id=("Monthly news", "news.example.com"),
    feedback_id="12:news:bulk:mailroom",
)

# What a person may write on one line: every script, no control characters.
LINE = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=200)
NAMES = st.one_of(
    LINE,
    st.sampled_from(
        ["繁體中文", "العربية", "👩‍👩‍👧‍👦 family", 'O"Brien \\', "a,b;c", "=?utf-8?q?x?="]
    ),
)
BODIES = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=400),
    st.lists(
        st.sampled_from([".", "\r", "\n", "\r\n", "x" * 997, "é" * 600, " ", "\t", "=", "\0"])
    ).map("".join),
)


def build(
    subject: str = "s",
    html: str = "<p>h</p>",
    text: str = "t",
    *,
    name: str = "N",
    eight_bit: bool = True,
    address: str = "r@example.org",
) -> bytes:
    return Frame(SPEC).build(
        Rendered(subject, html, text).written(),
        to_name=name,
        to_address=address,
        uuid=UUID(int=7),
        date=NOW,
        headers=UNSUBSCRIBE,
        eight_bit=eight_bit,
    )


def read(data: bytes) -> EmailMessage:
    return cast("EmailMessage", message_from_bytes(data, policy=default))


def assert_sound(data: bytes) -> None:
    """Every line ends with CRLF and is short enough; each singleton is there once."""
    assert data.endswith(b"\r\n")
    lines = data.split(b"\r\n")
    assert all(b"\r" not in line and b"\n" not in line for line in lines)
    assert max(map(len, lines)) <= 998
    head = data.split(b"\r\n\r\n")[0].split(b"\r\n")
    # Longer than preferred only where there was no space to fold at.
    assert all(len(line) <= 78 or line.strip().count(b" ") <= 1 for line in head)
    assert all(line.isascii() for line in head)
    assert all(line.strip() for line in head)
    for word in re.findall(rb"=\?utf-8\?B\?[^?]*\?=", b"\n".join(head)):
        assert len(word) <= 75
    names = [line.split(b":")[0].decode() for line in head if not line.startswith((b" ", b"\t"))]
    assert sorted(names) == sorted(SINGLETONS)


def lines_of(text: str) -> str:
    unix = text.replace("\r\n", "\n").replace("\r", "\n")
    return unix if unix.endswith("\n") else unix + "\n"


@settings(max_examples=250, deadline=None)
@given(subject=LINE, name=NAMES)
@example(subject="繁體中文標題 " * 12, name="محمد " * 20)
@example(subject="a" * 2000, name="b" * 2000)
@example(subject="ends with a space ", name=" spaces ")
@example(subject="two  spaces   between " * 9 + "x", name="two  spaces")
@example(subject="=?utf-8?q?not_encoded?=", name="x =?utf-8?q?y?= z")
@example(subject="", name="")
def test_headers_read_back_as_written(subject: str, name: str) -> None:
    data = build(subject, name=name)
    assert_sound(data)
    message = read(data)
    assert message["Subject"] == subject
    (to,) = message["To"].addresses
    assert to.addr_spec == "r@example.org"
    # Python's parser puts a space where two encoded-words of a phrase meet, against RFC 2047 §6.2.
    assert "".join(to.display_name.split()) == "".join(name.split())
    written = re.search(rb"^To: [^\r]*(?:\r\n [^\r]*)*", data, re.MULTILINE)
    assert written is not None
    words = re.findall(rb"=\?utf-8\?B\?([^?]*)\?=", written[0])
    assert not words or "".join(b64decode(word).decode() for word in words) == name


@settings(max_examples=250, deadline=None)
@given(html=BODIES, text=BODIES, eight_bit=st.booleans())
@example(html="x" * 998, text="é" * 499, eight_bit=True)
@example(html="x" * 999, text="é" * 500, eight_bit=True)
@example(html="x" * 998 + "\ny", text="x" * 999 + "\ny", eight_bit=True)
@example(html="\n".join(["x" * 500] * 9) + "y" * 499, text=".\r.\n..\n", eight_bit=True)
@example(html="a \n b\t\n", text="trailing \t", eight_bit=False)
@example(html="a\0b", text="\x0b\x0c\x1c\x85\u2028", eight_bit=True)
def test_bodies_read_back_as_written(html: str, text: str, eight_bit: bool) -> None:
    data = build(html=html, text=text, eight_bit=eight_bit)
    assert_sound(data)
    assert eight_bit or data.isascii()
    assert b"\0" not in data  # RFC 2045 §2.8
    message = read(data)
    for kind, written in (("plain", text), ("html", html)):
        part = message.get_body((kind,))
        if written:
            assert part is not None
            assert part.get_payload(decode=True).decode().replace("\r\n", "\n") == lines_of(written)
    encodings = [part["Content-Transfer-Encoding"] for part in message.walk()]
    assert ("8bit" in encodings[1:]) == (encodings[0] == "8bit") or not html


def test_text_only_is_one_part() -> None:
    message = read(build(html="", text="Grüße"))
    assert message.get_content_type() == "text/plain"
    assert message.get_content() == "Grüße\r\n"
    assert message["MIME-Version"] == "1.0"


def test_alternatives_have_the_best_last() -> None:
    message = read(build())
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_the_shared_headers() -> None:
    data = build()
    message = read(data)
    (sender,) = message["From"].addresses
    assert (sender.display_name, sender.addr_spec) == ("Müller & Söhne, Köln", "news@example.com")
    assert message["List-Id"] == '"Monthly news" <news.example.com>'
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Feedback-ID"] == "12:news:bulk:mailroom"
    assert message["Reply-To"] == "office@example.com"
    assert message["List-Unsubscribe"] == UNSUBSCRIBE["List-Unsubscribe"]
    assert message["Date"].datetime == NOW
    assert b"Return-Path" not in data


def test_the_message_id_is_the_same_on_each_attempt_and_unique() -> None:
    uuid, other = uuid4(), uuid4()
    assert message_id(uuid, "example.com") == message_id(uuid, "example.com")
    assert message_id(uuid, "example.com") != message_id(other, "example.com")
    assert read(build())["Message-ID"] == message_id(UUID(int=7), "example.com")


@pytest.mark.parametrize("bad", ["a\rb", "a\nb", "a\r\nBcc: x@y", "a\0b"])
def test_a_line_break_is_refused_wherever_it_comes_in(bad: str) -> None:
    good = FrameSpec(("N", "n@example.com"), "example.com")
    for spec in (
        FrameSpec((bad, "n@example.com"), "example.com"),
        FrameSpec(("N", f"n@{bad}"), "example.com"),
        FrameSpec(("N", "n@example.com"), bad),
        FrameSpec(("N", "n@example.com"), "example.com", reply_to=(bad, "n@example.com")),
        FrameSpec(("N", "n@example.com"), "example.com", list_id=(bad, "l.example.com")),
        FrameSpec(("N", "n@example.com"), "example.com", list_id=("p", bad)),
        FrameSpec(("N", "n@example.com"), "example.com", feedback_id=bad),
        FrameSpec(("N", "n@example.com"), "example.com", headers={"Precedence": bad}),
    ):
        with pytest.raises(ValueError, match=r"."):
            Frame(spec)
    frame, rendered = Frame(good), Rendered("s", "", "t").written()
    for arguments in (
        {"to_name": bad},
        {"to_address": f"{bad}@example.org"},
        {"headers": {"List-Unsubscribe": bad}},
        {"headers": {bad: "x"}},
        {"headers": {"X-Other": "x"}},
    ):
        usual = {"to_name": "", "to_address": "r@example.org", "uuid": uuid4(), "date": NOW}
        with pytest.raises(ValueError, match=r"."):
            frame.build(rendered, **{**usual, **arguments})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Subject"):
        build(bad)


@pytest.mark.parametrize("bad", ["ünïcode", 'a"b', "a<b"])
def test_a_list_id_phrase_is_plain_ascii(bad: str) -> None:
    with pytest.raises(ValueError, match="List-Id"):
        Frame(FrameSpec(("N", "n@example.com"), "example.com", list_id=(bad, "l.example.com")))


@pytest.mark.parametrize("header", ["Bcc", "from", "X-Mailer", "Subject", "Precedence\r\nBcc"])
def test_header_names_come_from_the_list(header: str) -> None:
    with pytest.raises(ValueError, match="not a header"):
        Frame(FrameSpec(("N", "n@example.com"), "example.com", headers={header: "x"}))


def test_half_a_surrogate_pair_is_refused() -> None:
    for arguments in ({"subject": "\ud800"}, {"text": "\ud800"}, {"name": "\ud800"}):
        with pytest.raises(ValueError, match="surrogates"):
            build(**arguments)


def test_the_time_needs_a_zone() -> None:
    frame = Frame(FrameSpec(("N", "n@example.com"), "example.com"))
    arguments = {"to_name": "", "to_address": "r@example.org", "uuid": uuid4()}
    with pytest.raises(ValueError, match="zone"):
        frame.build(Rendered("s", "", "t").written(), date=datetime(2024, 1, 1), **arguments)  # type: ignore[arg-type]  # noqa: DTZ001
    east = datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    data = frame.build(Rendered("s", "", "t").written(), date=east, **arguments)  # type: ignore[arg-type]
    assert b"Date: Sun, 31 Dec 2023 23:00:00 +0000\r\n" in data


def test_a_signer_gets_the_whole_message() -> None:
    frame = Frame(
        FrameSpec(("N", "n@example.com"), "example.com"),
        signer=lambda message: b"DKIM-Signature: x\r\n" + message,
    )
    data = frame.build(
        Rendered("s", "", "t").written(),
        to_name="",
        to_address="r@example.org",
        uuid=uuid4(),
        date=NOW,
    )
    assert data.startswith(b"DKIM-Signature: x\r\nFrom: ")


@pytest.mark.parametrize("bad", [b"a\n", b"a\r", b"a\r\r\n", b"\n\r"])
def test_a_signer_that_leaves_a_bare_line_end_is_refused(bad: bytes) -> None:
    frame = Frame(FrameSpec(("N", "n@example.com"), "example.com"), signer=lambda m: bad + m)
    with pytest.raises(SigningError, match="CRLF"):
        frame.build(
            Rendered("s", "", "t").written(),
            to_name="",
            to_address="r@example.org",
            uuid=uuid4(),
            date=NOW,
        )


@pytest.mark.parametrize(
    ("address", "on_wire"),
    [
        ("a@example.org", "a@example.org"),
        ("A.b+c@EXAMPLE.org", "A.b+c@example.org"),
        ("user@faß.de", "user@xn--fa-hia.de"),
        ("user@FAß.de", "user@xn--fa-hia.de"),
        ("user@例え.jp", "user@xn--r8jz45g.jp"),
        ('"two words"@example.org', '"two words"@example.org'),
        ("root@localhost", "root@localhost"),
        ("x" * 64 + "@example.org", "x" * 64 + "@example.org"),
    ],
)
def test_addresses_on_the_wire(address: str, on_wire: str) -> None:
    assert wire_address(address) == on_wire


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "@example.org",
        "a@",
        "a b@example.org",
        "a..b@example.org",
        ".a@example.org",
        "a@example..org",
        "a@-example.org",
        "a@example.org.",
        "a@.example.org",
        "a<b@example.org",
        '"a>b"@example.org',
        '"a"b"@example.org',
        "a@[127.0.0.1]",
        "x" * 65 + "@example.org",
        "a@" + "x" * 64 + ".org",
        "a@" + ".".join(["x" * 60] * 5),
        "ü@example.org",
        "a\u200b@example.org",
        "a@exa\u2028mple.org",
        "a@☃.example",
        "a@example.org\n",
    ],
)
def test_addresses_that_are_refused(address: str) -> None:
    with pytest.raises(AddressError):
        wire_address(address)


def test_a_local_part_outside_ascii_with_smtputf8() -> None:
    assert wire_address("δοκιμή.x@faß.de", smtputf8=True) == "δοκιμή.x@xn--fa-hia.de"
    for bad in ("δ δ@x.org", "δ<@x.org", ".δ@x.org", "δ\x85@x.org", "δ\ud800@x.org"):
        with pytest.raises(AddressError):
            wire_address(bad, smtputf8=True)


@pytest.mark.parametrize("returned", [b"", b"\r\n\r\nhello\r\n", b"DKIM-Signature: x\r\n"])
def test_a_signer_that_returns_no_message_is_refused(returned: bytes) -> None:
    frame = Frame(FrameSpec(("N", "n@example.com"), "example.com"), signer=lambda _: returned)
    with pytest.raises(SigningError, match="is not the message"):
        frame.build(
            Rendered("s", "", "t").written(),
            to_name="", to_address="r@example.org", uuid=uuid4(), date=NOW,
        )  # fmt: skip


def test_a_signer_that_exits_ends_no_process() -> None:
    frame = Frame(FrameSpec(("N", "n@example.com"), "example.com"), signer=lambda _: sys.exit(1))
    with pytest.raises(SigningError, match="SystemExit"):
        frame.build(
            Rendered("s", "", "t").written(),
            to_name="", to_address="r@example.org", uuid=uuid4(), date=NOW,
        )  # fmt: skip
