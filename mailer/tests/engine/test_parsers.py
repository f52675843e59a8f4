"""What the engine writes, read back by parsers that are not ours: Python's and MIME-tools'."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from itertools import pairwise
from typing import cast
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailer.engine.addresses import wire_address
from mailer.engine.attachments import Attachment, encode_file
from mailer.engine.frame import Frame, FrameSpec
from mailer.engine.render import Rendered
from mailer.tests.engine.conftest import NOW
from mailer.tests.engine.mime_tools import MimeTools, content, display_name, is_installed, leaves
from mailer.tests.engine.test_frame import UNSUBSCRIBE, lines_of

WORDS = [
    *("繁體中文標題", "日本語の件名、長い", "한국어 제목", "שלום עולם", "مرحبا بالعالم"),
    *("Ελληνικά", "Тема", "हिन्दी विषय", "ไทย", "👩‍👩‍👧‍👦 family", "🏳️‍🌈", "𝒳𝓎"),
    *("e\u0301\u0302 a\u0308", "\u200e\u200f\u202etxt", 'O"Brien \\', "a,b;c"),
    *("=?utf-8?q?x?=", "(comment)", "<x@y>", "  two  spaces  ", "x" * 120),
]
# What a person may write on one line: every script, no control characters.
LINES = st.one_of(
    st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=120),
    st.lists(st.sampled_from([*WORDS, " "]), max_size=8).map("".join),
)
PIECES = [
    *(".", "..\n", "\r", "\n", "\r\n", " ", "\t", " \n", "\t\r\n", "=", "=20\n", "=\n"),
    *("\0", "\x1a", "\ufeff", "\u2028", "--", "\n--=_a", "From me\n"),
    *("x" * 996, "y" * 999, "é" * 499, "é" * 500),
    *WORDS,
]
BODIES = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=300),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
)
ADDRESSES = st.builds(
    "{}@{}".format,
    st.sampled_from(["r", "a.b+c", '"two words"', '"a,b"', "x" * 64, "o'brien", '"q\\"q"']),
    st.sampled_from(["example.org", "faß.example", "例え.example", "a-b.c.example"]),
)
FILES = st.builds(
    Attachment,
    st.one_of(
        LINES.filter(bool),
        st.sampled_from(["Übersicht 2026.xlsx", "報告書" * 40 + ".pdf", "100%.txt", "x" * 950]),
    ),
    st.sampled_from(["application/pdf", "text/csv", "image/png"]),
    st.one_of(
        st.binary(max_size=200), st.sampled_from([b"", b".\r\n", b"\n--=_a", "Größe".encode()])
    ),
    st.sampled_from(["", "logo.1f2e@mail.example"]),
)


@dataclass
class Draft:
    """What goes in, and has to come out again."""

    subject: str = "Subject"
    name: str = ""
    sender: str = "News"
    address: str = "r@example.org"
    html: str = ""
    text: str = "text"
    files: tuple[Attachment, ...] = ()
    eight_bit: bool = True

    def write(self) -> bytes:
        frame = Frame(
            FrameSpec((self.sender, "news@example.com"), "example.com"),
            files=[encode_file(file) for file in self.files],
        )
        data = frame.build(
            Rendered(self.subject, self.html, self.text).written(),
            to_name=self.name,
            to_address=self.address,
            uuid=UUID(int=7),
            date=NOW,
            headers=UNSUBSCRIBE,
            eight_bit=self.eight_bit,
        )
        assert_lines(data)
        assert self.eight_bit or data.isascii()
        return data

    @property
    def texts(self) -> list[tuple[str, str]]:
        """The types and texts of its body, in the order of their parts."""
        html = [("text/html", lines_of(self.html))] if self.html else []
        return [("text/plain", lines_of(self.text)), *html]

    @property
    def placed(self) -> list[Attachment]:
        """Its files in the order of their parts."""
        return sorted(self.files, key=lambda file: not file.content_id)

    @property
    def shape(self) -> list[str]:
        """The types of the multiparts, from the outermost."""
        inline = any(file.content_id for file in self.files)
        apart = any(not file.content_id for file in self.files) or (inline and not self.html)
        kinds = {
            "multipart/mixed": apart,
            "multipart/related": inline and self.html,
            "multipart/alternative": self.html,
        }
        return [kind for kind, used in kinds.items() if used]


DRAFTS = st.builds(
    Draft,
    subject=LINES,
    name=LINES,
    sender=LINES,
    address=ADDRESSES,
    html=BODIES,
    text=BODIES,
    files=st.lists(FILES, max_size=4).map(tuple),
    eight_bit=st.booleans(),
)
LOGO = Attachment("logo.png", "image/png", bytes(range(256)) * 9, "logo.1f2e@mail.example")
REPORT = Attachment("Bericht für 報告書.pdf", "application/pdf", b"%PDF-1.7 \xff" * 99)


def assert_lines(data: bytes) -> None:
    """RFC 5322 §2.1.1, §2.2.3 and §3.6, RFC 2045 §2.7 and §2.8, RFC 2047 §2."""
    lines = data.split(b"\r\n")
    assert lines.pop() == b""
    assert not [line for line in lines if b"\r" in line or b"\n" in line or b"\0" in line]
    assert max(map(len, lines)) <= 998
    head = lines[: lines.index(b"")]
    for line in head:
        assert line.isascii()
        assert line.strip()
        # Longer than preferred only where there is no space to fold at.
        assert len(line) <= 78 or line.strip().count(b" ") <= 1
        words = re.findall(rb"=\?utf-8\?B\?[^?]*\?=", line)
        assert all(len(word) <= 75 for word in words)
        assert len(line) <= (76 if words else 998)
    tags = [line.split(b":")[0].lower() for line in head if line[:1] not in b" \t"]
    assert len(tags) == len(set(tags))
    assert {b"from", b"date", b"message-id", b"to", b"subject", b"mime-version"} <= set(tags)
    assert not {b"return-path", b"bcc", b"sender", b"received"} & set(tags)


def words_in(data: bytes, tag: bytes) -> str | None:
    """The encoded-words of a field, joined (RFC 2047 §6.2); None where there is none."""
    field = re.search(rb"^" + tag + rb": [^\r]*(?:\r\n [^\r]*)*", data, re.MULTILINE)
    assert field is not None
    words = re.findall(rb"=\?utf-8\?B\?([^?]*)\?=", field[0])
    return "".join(b64decode(word).decode() for word in words) if words else None


@settings(max_examples=300, deadline=None)
@given(draft=DRAFTS)
@example(Draft(html="<img src='cid:logo'>", files=(LOGO, REPORT)))
@example(Draft(html="<p>é</p>", files=(REPORT,), eight_bit=False))
@example(Draft(files=(LOGO, LOGO)))
def test_pythons_parser_gives_back_what_went_in(draft: Draft) -> None:
    data = draft.write()
    message = cast("EmailMessage", message_from_bytes(data, policy=default))
    parts = list(message.walk())
    assert [part.defects for part in parts if part.defects] == []
    assert [part["content-type"].defects for part in parts if part["content-type"].defects] == []
    assert message["Subject"] == draft.subject
    for tag, name, address in (
        ("To", draft.name, wire_address(draft.address)),
        ("From", draft.sender, "news@example.com"),
    ):
        (mailbox,) = message[tag].addresses
        assert not message[tag].groups[0].display_name
        assert mailbox.addr_spec == address
        # Python puts a space where two encoded-words of a phrase meet, against RFC 2047 §6.2.
        assert "".join(mailbox.display_name.split()) == "".join(name.split())
        assert words_in(data, tag.encode()) in {None, name}
    assert [part.get_content_type() for part in parts if part.is_multipart()] == draft.shape
    within = [part for part in parts if not part.is_multipart()]
    for part, (kind, text) in zip(within, draft.texts, strict=False):
        assert part.get_content_type() == kind
        assert part.get_payload(decode=True).decode().replace("\r\n", "\n") == text
    placed = draft.placed
    for part, file in zip(within[len(draft.texts) :], placed, strict=True):
        # get_filename() would take the brackets off "<x>".
        assert part["Content-Disposition"].params["filename"] == file.name
        assert part.get_payload(decode=True) == file.content
        assert part.get_content_type() == file.content_type
        assert part.get_content_disposition() == ("inline" if file.content_id else "attachment")
        assert part["Content-ID"] == (f"<{file.content_id}>" if file.content_id else None)
    used = [part["Content-Transfer-Encoding"] for part in parts]
    for outer, inner in pairwise(used[: len(draft.shape)]):
        assert outer == inner  # RFC 2045 §6.4: what holds 8bit says so, all the way out
    assert set(used[: len(draft.shape)]) <= {"7bit", "8bit"}
    assert ("8bit" in used) == (used[0] == "8bit")


@pytest.fixture(scope="module")
def mime_tools() -> Iterator[MimeTools]:
    if not is_installed():
        pytest.skip("no MIME-tools for perl: apt-get install libmime-tools-perl")
    with MimeTools() as started:
        yield started


@settings(max_examples=300, deadline=None)
@given(draft=DRAFTS)
@example(Draft(html="<img src='cid:logo'>", files=(LOGO, REPORT)))
@example(Draft(html="<p>é</p>", files=(REPORT,), eight_bit=False))
def test_mime_tools_gives_back_what_went_in(mime_tools: MimeTools, draft: Draft) -> None:
    found = mime_tools.read(draft.write())
    assert found["problems"] == []
    assert found["subject"] == draft.subject
    for key, name, address in (
        ("to", draft.name, wire_address(draft.address)),
        ("from", draft.sender, "news@example.com"),
    ):
        ((phrase, mailbox),) = found[key]
        assert mailbox == address
        assert " ".join(display_name(phrase).split()) == " ".join(name.split())
    root = found["root"]
    for kind in draft.shape:
        assert root["type"] == kind
        root = root["parts"][0]
    within = list(leaves(found["root"]))
    for part, (kind, text) in zip(within, draft.texts, strict=False):
        assert (part["type"], part["charset"]) == (kind, "utf-8")
        assert content(part).decode().replace("\r\n", "\n") == text
    for part, file in zip(within[len(draft.texts) :], draft.placed, strict=True):
        assert (part["type"], part["file"]) == (file.content_type, file.name)
        assert content(part) == file.content
        assert part["content_id"] == (f"<{file.content_id}>" if file.content_id else None)
        assert part["name"].isascii()
