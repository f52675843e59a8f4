"""Files of a message: kept, frozen with a version, sent with it, forgotten after it."""

import time
from email import message_from_bytes
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from mailer.exceptions import NotPossible
from mailer.models import Message, MessageFile, StoredFile
from mailer.services import content, testing
from mailer.services.attaching import (
    check_file,
    forget_files,
    guess_type,
    keep_file,
    suggest_image_name,
)
from mailer.services.inline_images import shown_images, with_content_ids
from mailer.services.writing import CONTENT_FIELDS, save_version
from mailer.tests.engine.conftest import Serve, relay_to, serve
from mailer.tests.engine.scripted_smtp import ScriptedSMTP
from mailer.tests.factories import NOW, make_mailing, make_message, make_relay, make_run
from mailer.tests.ledger import send_all

__all__ = ["serve"]

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def make_files(message: Message, html: str = '<img src="cid:logo">') -> None:
    """A report and a logo in the message's next version."""
    current = message.current
    assert current is not None
    files = [
        keep_file(message, name="Bericht für 報告書.pdf", octets=b"%PDF-1.7"),
        keep_file(message, name="logo.png", octets=b"\x89PNG", image_name="logo"),
    ]
    kept = {field: getattr(current, field) for field in CONTENT_FIELDS}
    save_version(message, {**kept, "html": html}, files=files, by=None)


@pytest.fixture
def relay(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> ScriptedSMTP:
    server = serve()
    for module in (testing, content):
        monkeypatch.setattr(module, "relay_address", lambda _relay: relay_to(server))
    monkeypatch.setattr(content, "render_bounded", lambda *_: None)
    content._encoded.cache_clear()
    return server


def read(data: bytes) -> dict[str, Any]:
    """Its leaves by type."""
    parts = message_from_bytes(data).walk()
    return {part.get_content_type(): part for part in parts if not part.is_multipart()}


def check_parts(data: bytes) -> None:
    parts = read(data)
    assert parts["application/pdf"].get_payload(decode=True) == b"%PDF-1.7"
    assert parts["application/pdf"].get_filename() == "Bericht für 報告書.pdf"
    shown = parts["image/png"]["Content-ID"].strip("<>")
    assert shown.startswith("logo.")
    assert shown.endswith("@mail.example.org")
    assert f'src="cid:{shown}"' in parts["text/html"].get_payload(decode=True).decode()


def test_each_recipient_gets_the_files_of_the_frozen_version(relay: ScriptedSMTP) -> None:
    run = make_run(recipients=3)
    make_files(run.mailing.message)
    send_all(run)
    assert [list(read(m.data)) for m in relay.accepted] == [["text/plain", "text/html"]] * 3
    later = make_run(mailing=run.mailing, now=NOW.replace(hour=2))
    save_version(
        run.mailing.message,
        {field: getattr(later.message_version, field) for field in CONTENT_FIELDS}
        | {"html": "<p>no image</p>"},
        files=[],
        by=None,
    )
    send_all(later)
    assert len(relay.accepted) == 6
    for message in relay.accepted[3:]:
        check_parts(message.data)


def test_a_process_reads_a_runs_files_once(relay: ScriptedSMTP) -> None:
    message = make_message()
    make_files(message)
    version = message.current
    assert version is not None
    spec = content.message_frame(version)
    reads = []
    for _ in range(2):
        with CaptureQueriesContext(
            connection,
        ) as captured:
            content.make_frame(spec, version)
        reads.append(sum("octets" in query["sql"] for query in captured))
    assert reads == [2, 0]


def test_a_test_message_has_them_as_well(relay: ScriptedSMTP) -> None:
    make_relay()
    message = make_message()
    make_files(message)
    test = testing.request_test(message, "ann@people.example", by=None, now=NOW)
    assert testing.send_test_message(test.pk) == {"state": "sent"}
    check_parts(relay.accepted[0].data)


def test_a_signer_that_fails_holds_the_run_until_it_is_mended(
    relay: ScriptedSMTP, settings: Any
) -> None:
    def sign(_message: bytes) -> bytes:
        raise OSError("the key cannot be read")

    settings.MAILER_SIGNER = sign
    run = make_run(mailing=make_mailing(recipients=3))
    send_all(run)
    run.refresh_from_db()
    assert (run.state, run.pending, run.failed) == ("paused", 3, 0)
    assert "signing failed (OSError: the key cannot be read)" in run.reason
    assert relay.accepted == []


def test_contents_are_forgotten_with_the_last_that_has_them() -> None:
    kept, gone = make_message(), make_message()
    keep_file(kept, name="a", octets=b"both")
    keep_file(gone, name="b", octets=b"both")
    keep_file(gone, name="c", octets=b"one")
    assert forget_files(now=NOW) == 0
    gone.delete()
    assert forget_files(now=NOW) == 1
    assert bytes(StoredFile.objects.get().octets) == b"both"


def test_a_kind_and_a_name_in_the_html_belong_together() -> None:
    file = keep_file(make_message(), name="a.png", octets=b"x")
    for wrong in ({"kind": "inline"}, {"image_name": "logo"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            MessageFile.objects.filter(pk=file.pk).update(**wrong)


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("../a", 1, "is not a file's name"),
        ("a/b.pdf", 1, "is not a file's name"),
        ("c:\\a.pdf", 1, "is not a file's name"),
        ("..", 1, "is not a file's name"),
        (" ", 1, "is not a file's name"),
        ("a\r\nb", 1, "control characters"),
        ("a\0b", 1, "control characters"),
        ("gpj\u202eexe", 1, "control characters"),
        ("x" * 151, 1, "longer than 150"),
        ("a.pdf", 0, "is empty"),
        ("a.pdf", 10 * 2**20 + 1, "has a little more than 10.0\xa0MB; a file may have 10.0\xa0MB"),
        ("a.pdf", 11 * 2**20, "has 11.0\xa0MB; a file may have 10.0\xa0MB"),
    ],
)
def test_what_no_message_may_have(name: str, size: int, words: str) -> None:
    with pytest.raises(NotPossible, match=words):
        check_file(name=name, size=size)
    check_file(name="x" * 150, size=10 * 2**20)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.PDF", "application/pdf"),
        ("a.PNG", "image/png"),
        ("a.webp", "image/webp"),
        ("a.csv", "text/csv"),
        ("a.tar.gz", "application/octet-stream"),
        ("a.eml", "application/octet-stream"),
        ("a", "application/octet-stream"),
        ("a.nonsense", "application/octet-stream"),
    ],
)
def test_types_go_by_the_name(name: str, kind: str) -> None:
    assert guess_type(name) == kind


def test_a_name_for_the_html() -> None:
    assert suggest_image_name("logo.png") == "logo"
    assert suggest_image_name("My logo (2).png") == "My-logo-2"
    assert suggest_image_name("圖.png") == ""


HTML = """<img src="cid:one"><IMG SRC='CID:two' alt="Customer CID: 7">
<td background=cid:three><b style="background:url(cid:four)">
<i style="background:url(&quot;cid:five&quot;)">Your CID:1234, acid:no</i>
<img src="{% if a %}cid:one{% else %}cid:six{% endif %}">"""


def test_names_after_cid_in_attributes() -> None:
    found = shown_images(HTML)
    assert found == {"one": 1, "two": 1, "three": 2, "four": 2, "five": 3, "six": 4}


def test_names_become_content_ids() -> None:
    html = with_content_ids(HTML, {"one": "one.1f@x.example", "five": "five.2e@x.example"})
    assert html.endswith("""src="{% if a %}cid:one.1f@x.example{% else %}cid:six{% endif %}">""")
    assert '<img src="cid:one.1f@x.example">' in html
    assert "url(&quot;cid:five.2e@x.example&quot;)" in html
    assert "'CID:two'" in html


LISTED = """<img srcset="cid:one 1x,
 cid:two 2x,cid:three 3x, https://example.com/x.png 4x" alt="a, cid:no">
<source srcset='{% if a %}cid:four{% endif %}'>"""


def test_each_image_of_a_list_is_one() -> None:
    assert shown_images(LISTED) == {"one": 1, "two": 2, "three": 2, "four": 3}
    html = with_content_ids(LISTED, {"one": "1@x.example", "three": "3@x.example"})
    assert html == LISTED.replace("cid:one", "cid:1@x.example").replace(
        "cid:three", "cid:3@x.example"
    )


@pytest.mark.parametrize(
    "hidden",
    [
        '<!-- <img src="cid:old"> -->',
        "<!--\n<b style='background:url(cid:old)'>\n-->",
        '{# <img src="cid:old"> #}',
        '<img alt=""><!-- <img srcset="cid:old 1x, cid:older 2x"> --><img alt="">',
    ],
)
def test_what_is_commented_out_is_not_shown(hidden: str) -> None:
    html = f'{hidden}<img src="cid:logo">{hidden}<!-- <img src="cid:unclosed">'
    assert list(shown_images(html)) == ["logo"]
    ids = {"logo": "logo.1f@x.example", "old": "old.2e@x.example"}
    assert with_content_ids(html, ids) == html.replace("cid:logo", "cid:logo.1f@x.example")


def test_what_outlook_reads_within_a_comment_is_shown() -> None:
    html = """<!--[if mso]><v:fill src="cid:one"><![endif]-->
<!--[if !mso]><!--><img src="cid:two"><!--<![endif]-->"""
    assert shown_images(html) == {"one": 1, "two": 2}


def test_a_page_of_names_and_of_opened_quotes_and_comments_is_read_in_no_time() -> None:
    for piece in (
        "<!-- ",
        "{# ",
        "srcset='",
        "srcset=\"'",
        "srcset= ",
        '" ',
        "<!--[if ",
        '"cid:x ',
    ):
        began = time.process_time()
        shown_images(piece * 100_000)
        assert time.process_time() - began < 1, piece
