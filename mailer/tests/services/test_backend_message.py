"""A message for Django's backends says what the engine's own says."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast
from uuid import UUID

import pytest
from anymail.utils import parse_single_address
from django.core.mail.message import sanitize_address
from hypothesis import given

from mailer.engine.attachments import Attachment, encode_file
from mailer.engine.composer import CannotComposeError, Composer
from mailer.engine.frame import Frame, FrameSpec
from mailer.engine.render import Content, compile_content
from mailer.services.backend_message import BackendComposer, as_attachment
from mailer.tests.engine.conftest import outgoing
from mailer.tests.engine.test_frame import NAMES, SPEC, UNSUBSCRIBE

CONTENT = Content(
    "Grüße {{ name }}",
    '<p>Dear {{ name }}</p>\r\n<img src="cid:logo@x.example">',
    "Dear {{ name }}",
)
RENDERER = compile_content(CONTENT)
SHARED = ("From", "To", "Reply-To", "Subject", "Message-ID", "List-Id", "Feedback-ID",
          "Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post")  # fmt: skip
IMAGE = Attachment("logo.png", "image/png", b"\x89PNG", content_id="logo@x.example")
SHEET = Attachment("Bericht für 報告書.csv", "text/csv", b"a;b\n1;2\r\n")
FILES = [encode_file(file) for file in (IMAGE, SHEET)]


def parse(octets: bytes) -> EmailMessage:
    return cast("EmailMessage", message_from_bytes(octets, policy=default))


def by_the_engine(files: bool = False, **changes: object) -> EmailMessage:
    frame = Frame(SPEC, files=FILES if files else ())
    composer = Composer(frame, RENDERER, envelope_sender=lambda _: "b@example.com")
    composed = composer.compose(outgoing(**changes))
    composer.build(composed, eight_bit=True, smtputf8=False)
    assert composed.transaction is not None
    return parse(composed.transaction.data)


def by_django(files: bool = False, **changes: object) -> EmailMessage:
    attached = [as_attachment(file) for file in FILES] if files else []
    composer = BackendComposer(SPEC, RENDERER, files=attached)
    return parse(composer.compose(outgoing(**changes)).message().as_bytes(linesep="\r\n"))


def test_headers_are_the_same() -> None:
    changes = {"headers": UNSUBSCRIBE, "name": 'Ünser "Ann", Köln', "address": "ann@faß.example"}
    ours, theirs = by_the_engine(**changes), by_django(**changes)
    for name in SHARED:
        assert str(theirs[name]).strip() == str(ours[name])
    assert theirs["To"].addresses[0].addr_spec == "ann@xn--fa-hia.example"  # IDNA 2008
    for name in (*SHARED, "Date", "MIME-Version"):
        assert len(theirs.get_all(name) or []) == 1


def test_the_message_id_is_the_deliverys_on_every_attempt() -> None:
    mails = [by_django(seq=7) for _ in range(2)]
    assert {mail["Message-ID"] for mail in mails} == {f"<{UUID(int=7).hex}@example.com>"}


def test_bodies_and_files_are_the_same() -> None:
    ours, theirs = by_the_engine(files=True), by_django(files=True)
    for kind in ("plain", "html"):
        mine, other = (mail.get_body((kind,)) for mail in (ours, theirs))
        assert mine is not None
        assert other is not None
        assert mine.get_content().split() == other.get_content().split()
    leaves = [
        [
            (
                part.get_content_type(),
                part.get_payload(decode=True),
                part.get_filename(),
                part.get_content_disposition(),
                part["Content-ID"],
            )
            for part in mail.walk()
            if part.get_content_disposition()
        ]
        for mail in (ours, theirs)
    ]
    assert leaves[0] == leaves[1]
    assert [leaf[1] for leaf in leaves[0]] == [IMAGE.content, SHEET.content]


def test_images_alone_belong_to_the_text() -> None:
    composer = BackendComposer(SPEC, RENDERER, files=[as_attachment(FILES[0])])
    assert composer.compose(outgoing()).message().get_content_type() == "multipart/related"


def test_a_text_only_message_has_no_html() -> None:
    composer = BackendComposer(SPEC, compile_content(Content("s", "", "Dear {{ name }}")))
    mail = composer.compose(outgoing())
    assert (mail.body, mail.alternatives) == ("Dear R1", [])


@given(NAMES, NAMES)
def test_any_name_is_written_or_refused_before_it_is_sent(name: str, sender: str) -> None:
    spec = FrameSpec((sender, "news@example.com"), "example.com")
    try:
        mail = BackendComposer(spec, RENDERER).compose(outgoing(name=name))
    except (ValueError, CannotComposeError):
        return
    for mailbox in (mail.from_email, *mail.to):
        sanitize_address(mailbox, "utf-8")
        parse_single_address(mailbox)
    assert parse(mail.message().as_bytes())["To"].addresses[0].addr_spec == "r1@example.org"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"variables": {}}, "template: name is missing"),
        ({"address": "ann"}, "address: has no local part or no domain"),
        ({"address": "änn@example.org"}, "address: a local part outside ASCII needs SMTPUTF8"),
        ({"name": "Ann\r\nBcc: x@y.example"}, "message: To: holds a line break or NUL"),
        ({"headers": {"Bcc": "x@y.example"}}, "message: 'Bcc' is not a header"),
        ({"headers": {"List-Unsubscribe": "<u>\r\nBcc: x"}}, "message: List-Unsubscribe: holds"),
        ({"variables": {"name": "\ud800"}}, "template: a value holds half a surrogate pair"),
    ],
)
def test_what_cannot_be_written_is_named_as_the_engine_names_it(
    changes: dict[str, object], problem: str
) -> None:
    with pytest.raises(CannotComposeError) as raised:
        BackendComposer(SPEC, RENDERER).compose(outgoing(**changes))
    assert raised.value.problem.startswith(problem)
