"""Files of a message in the admin: added, removed, downloaded; and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from mailer.models import Message, MessageFile, StoredFile
from mailer.services import attaching
from mailer.services.attaching import keep_file
from mailer.services.writing import CONTENT_FIELDS, save_version
from mailer.tests.factories import make_message

from .conftest import form_data, page, said
from .test_messages import CONTENT

pytestmark = pytest.mark.database

PNG = b"\x89PNG\r\n\x1a\n"


def upload(
    number: int, name: str, octets: bytes = b"x", kind: str = "attachment", **more: str
) -> Any:
    fields = {"upload": SimpleUploadedFile(name, octets), "kind": kind, **more}
    return {f"files-{number}-{field}": value for field, value in fields.items()}


def post(client: Client, message: Message, *uploads: dict[str, Any], **changes: Any) -> Any:
    url = page("message", "change", message)
    data = {**form_data(client, url), **changes}
    for one in uploads:
        data |= one
    data["files-TOTAL_FORMS"] = int(data["files-TOTAL_FORMS"]) + len(uploads)
    return client.post(url, data, follow=True)


def names(message: Message) -> list[list[str]]:
    """The files of each version, the newest first."""
    return [[file.name for file in version.files.all()] for version in message.versions.all()]


def errors(response: Any) -> list[str]:
    """What was refused about the files."""
    formset = response.context["inline_admin_formsets"][0].formset
    each = [words for form in formset.errors for words in form.values()]
    return [str(word) for words in [formset.non_form_errors(), *each] for word in words]


def with_file(name: str = "a.pdf", octets: bytes = b"content", **fields: str) -> MessageFile:
    """A message's only file, in its second version."""
    message = make_message()
    current = message.current
    assert current is not None
    file = keep_file(message, name=name, octets=octets, **fields)
    content = {field: getattr(current, field) for field in CONTENT_FIELDS}
    save_version(message, content, files=[file], by=None)
    return file


def test_a_new_message_has_its_files_in_its_first_version(admin: Client) -> None:
    data = {
        **CONTENT,
        "html": '<img src="cid:logo">',
        **upload(0, "Bericht für 報告書.pdf", b"%PDF"),
        **upload(1, "logo.png", PNG, "inline"),
        "files-TOTAL_FORMS": 2,
    }
    answer = admin.post(page("message", "add"), data, follow=True)
    assert len(said(answer)) == 1  # nothing to warn of
    assert names(Message.objects.get()) == [["Bericht für 報告書.pdf", "logo.png"]]
    report, logo = MessageFile.objects.all()
    assert (report.kind, report.content_type, report.size) == ("attachment", "application/pdf", 4)
    assert (logo.kind, logo.content_type, logo.image_name) == ("inline", "image/png", "logo")
    shown = admin.get(page("message", "change", report.message)).content.decode()
    assert "&lt;img src=&quot;cid:logo&quot; alt=&quot;&quot;&gt;" in shown


def test_adding_and_removing_makes_versions_and_earlier_ones_keep_theirs(admin: Client) -> None:
    message = with_file("old.pdf").message
    post(admin, message, upload(1, "new.pdf"))
    assert names(message) == [["old.pdf", "new.pdf"], ["old.pdf"], []]
    post(admin, message, **{"files-0-DELETE": "on"})
    assert names(message) == [["new.pdf"], ["old.pdf", "new.pdf"], ["old.pdf"], []]
    post(admin, message, subject="Other words")
    assert names(message)[0] == ["new.pdf"]
    post(admin, message)
    assert len(names(message)) == 5


def test_what_is_in_two_files_is_kept_once(admin: Client) -> None:
    message = with_file(octets=b"same").message
    post(admin, message, upload(1, "b.pdf", b"same"), upload(2, "c.pdf", b"other"))
    kept = StoredFile.objects.values_list("octets", flat=True)
    assert sorted(bytes(octets) for octets in kept) == [b"other", b"same"]


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (upload(0, "empty.pdf", b""), "The submitted file is empty."),
        (upload(0, "x" * 151), "at most 150 characters"),
        (upload(0, "big.bin", b"x" * 11), "“big.bin” has 11\xa0bytes; a file may have 10\xa0bytes"),
        (upload(0, "logo.svg", PNG, "inline"), "“logo.svg” is no inline image"),
        (upload(0, "圖.png", PNG, "inline"), "“” cannot be written after cid:"),
        (upload(0, "a.png", PNG, "inline", in_html="my logo"), "“my logo” cannot be written"),
        (upload(0, "a.png", PNG, in_html="logo"), "Only an inline image has one."),
    ],
)
def test_a_file_that_is_refused_is_told_and_changes_nothing(
    admin: Client, monkeypatch: pytest.MonkeyPatch, file: dict[str, Any], words: str
) -> None:
    monkeypatch.setattr(attaching, "LARGEST", 10)
    file["files-0-upload"].seek(0)
    message = make_message()
    told = errors(post(admin, message, file))
    assert [said for said in told if words in said], told
    assert not MessageFile.objects.exists()
    assert not StoredFile.objects.exists()
    assert message.versions.count() == 1


def test_too_much_together_is_refused(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    message = with_file(octets=b"x" * 10).message
    monkeypatch.setattr(attaching, "LARGEST_TOGETHER", 20)
    (told,) = errors(post(admin, message, upload(1, "b.pdf", b"x" * 11)))
    assert told == "The files have 21\xa0bytes together; a message may have 20\xa0bytes."
    assert not errors_of_removal(admin, message)
    monkeypatch.setattr(attaching, "MOST", 1)
    (told,) = errors(post(admin, message, upload(1, "c.pdf", b"x")))
    assert told == "2 files; a message may have 1."


def errors_of_removal(client: Client, message: Message) -> bool:
    """The same upload fits once the other file is removed with it."""
    answer = post(client, message, upload(1, "b.pdf", b"x" * 11), **{"files-0-DELETE": "on"})
    return not answer.redirect_chain


def test_an_image_that_is_not_there_is_an_error_by_line(admin: Client) -> None:
    message = make_message()
    html = "<p>one</p>\r\n<img src='cid:logo'><td background=\"cid:back\">"
    told = errors(post(admin, message, upload(0, "logo.png", PNG, "inline"), html=html))
    assert told == ["HTML, line 2: it shows cid:back, and no inline image below is called so."]
    assert message.versions.count() == 1


def test_two_images_of_one_name_are_refused(admin: Client) -> None:
    both = (upload(0, "logo.png", PNG, "inline"), upload(1, "logo.gif", PNG, "inline"))
    (told,) = errors(post(admin, make_message(), *both))
    assert told.startswith("Two images are called “logo” in the HTML.")


def test_an_image_that_is_not_shown_is_warned_of(admin: Client) -> None:
    message = make_message()
    answer = post(admin, message, upload(0, "logo.png", PNG, "inline"))
    assert "The inline image “logo.png” is not shown: the HTML has no cid:logo." in said(answer)
    assert names(message)[0] == ["logo.png"]


@pytest.mark.parametrize("permissions", [("view",), ("change_message",)])
def test_a_file_is_downloaded_never_shown(
    login: Callable[..., Client], client: Client, permissions: tuple[str, ...]
) -> None:
    file = with_file("Ünsafe <b>.html", b"<script>alert(1)</script>")
    url = page("message", "file", file)
    assert client.get(url).status_code == 302
    assert login().get(url).status_code == 403
    answer = login(*permissions).get(url)
    assert b"".join(answer) == b"<script>alert(1)</script>"  # type: ignore[arg-type]
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get(page("message", "file", MessageFile(pk=file.pk + 1))).status_code == 404


def test_who_may_only_look_sees_files_and_cannot_add_any(login: Callable[..., Client]) -> None:
    file = with_file()
    client = login("view")
    for shown in (
        client.get(page("message", "change", file.message)).content.decode(),
        client.get(page("messageversion", "change", file.message.current)).content.decode(),
    ):
        assert page("message", "file", file) in shown
        assert "files-0-DELETE" not in shown
        assert 'type="file"' not in shown


def test_a_file_of_an_earlier_version_is_still_to_be_had(admin: Client) -> None:
    file = with_file("<script>x.pdf")
    before = file.message.current
    post(admin, file.message, **{"files-0-DELETE": "on"})
    assert (
        page("message", "file", file)
        not in admin.get(page("message", "change", file.message)).content.decode()
    )
    shown = admin.get(page("messageversion", "change", before)).content.decode()
    assert page("message", "file", file) in shown
    assert "<script>x.pdf" not in shown
    assert admin.get(page("message", "file", file)).status_code == 200


def test_a_page_that_was_open_while_files_changed_saves_nothing(admin: Client) -> None:
    message = with_file("a.pdf").message
    post(admin, message, upload(1, "b.pdf", b"more"))
    url = page("message", "change", message)
    open_before = form_data(admin, url)
    post(admin, message, upload(2, "c.pdf", b"most"), **{"files-0-DELETE": "on"})
    answer = admin.post(url, {**open_before, "subject": "Another"})
    shown = answer.content.decode()
    assert "was changed by chief" in shown
    assert "Removed by somebody else meanwhile" in shown
    assert names(message)[0] == ["b.pdf", "c.pdf"]
