"""Files in a message: what is refused, what is encoded once, what old readers see."""

from __future__ import annotations

from email import message_from_bytes
from uuid import uuid4

import pytest

from mailer.engine import attachments
from mailer.engine.attachments import Attachment, encode_file
from mailer.engine.frame import Frame, FrameSpec
from mailer.engine.render import Rendered
from mailer.tests.engine.conftest import NOW


@pytest.mark.parametrize(
    "kind",
    ["", "pdf", "a/b/c", "a/b; x=y", "text/plain\r\nX: y", "multipart/mixed", "Message/RFC822"],
)
def test_a_type_that_is_none_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="is not the type of a file"):
        encode_file(Attachment("a.txt", kind, b""))


@pytest.mark.parametrize("name", ["", "a\r\nb", "a\nb", "a\0b", "\ud800"])
def test_a_name_that_cannot_be_written_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"name|surrogates"):
        encode_file(Attachment(name, "text/plain", b""))


@pytest.mark.parametrize("content_id", ["logo", "a b@c", "a@b>", "<a@b>", "ü@b", "a@b\r\nX: y"])
def test_a_content_id_is_of_the_form_of_a_message_id(content_id: str) -> None:
    with pytest.raises(ValueError, match="is not a Content-ID"):
        encode_file(Attachment("a.png", "image/png", b"", content_id))


def test_lines_of_base64_have_76_characters_and_crlf() -> None:
    head, _, body = encode_file(Attachment("a", "a/b", bytes(400))).entity.partition(b"\r\n\r\n")
    lines = body.split(b"\r\n")
    assert lines.pop() == b""
    assert {len(line) for line in lines[:-1]} == {76}
    assert b"Content-Transfer-Encoding: base64" in head.split(b"\r\n")
    assert b"\n" not in body.replace(b"\r\n", b"")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Bericht.pdf", b'"Bericht.pdf"'),
        ("Übersicht über Öl.pdf", b'"Ubersicht uber Ol.pdf"'),
        ("報告書.pdf", b'"file.pdf"'),
        ("報告書", b'"file"'),
        ('say "hi"\\.txt', b'"say hi.txt"'),
        ("é" * 200 + ".docx", b'"' + b"e" * 50 + b'.docx"'),
    ],
)
def test_readers_without_rfc_2231_see_a_name_in_ascii(name: str, shown: bytes) -> None:
    assert b"\r\n name=" + shown in encode_file(Attachment(name, "a/b", b"")).entity


@pytest.mark.parametrize(
    ("kind", "content", "charset"),
    [
        ("text/csv", "Größe".encode(), "utf-8"),
        ("text/csv", "Größe".encode("latin-1"), None),
        ("application/pdf", b"%PDF", None),
    ],
)
def test_text_in_utf_8_says_so(kind: str, content: bytes, charset: str | None) -> None:
    part = message_from_bytes(encode_file(Attachment("a.csv", kind, content)).entity)
    assert part.get_content_charset() == charset
    assert part.get_payload(decode=True) == content


def test_a_run_encodes_its_files_once(monkeypatch: pytest.MonkeyPatch) -> None:
    file = encode_file(Attachment("a.pdf", "application/pdf", b"x" * 1000))
    monkeypatch.setattr(attachments, "encodebytes", None)
    frame = Frame(FrameSpec(("N", "n@example.com"), "example.com"), files=[file])
    for text in ("one", "two"):
        data = frame.build(
            Rendered("s", "", text).written(),
            to_name="",
            to_address="r@a.example",
            uuid=uuid4(),
            date=NOW,
        )
        assert file.entity in data


def test_images_that_no_html_shows_are_attached() -> None:
    image = encode_file(Attachment("logo.png", "image/png", b"x", "logo@mail.example"))
    frame = Frame(FrameSpec(("N", "n@example.com"), "example.com"), files=[image])
    data = frame.build(
        Rendered("s", "", "t").written(),
        to_name="",
        to_address="r@a.example",
        uuid=uuid4(),
        date=NOW,
    )
    kinds = [part.get_content_type() for part in message_from_bytes(data).walk()]
    assert kinds == ["multipart/mixed", "text/plain", "image/png"]
