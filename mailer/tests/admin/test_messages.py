"""Writing a message: versions, errors by line, warnings."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from admin_ext.components.times import exact_time
from mailer.models import Message
from mailer.tests.factories import make_recipient

from .conftest import World, form_data, page, said

pytestmark = pytest.mark.database

CONTENT = {
    "name": "Welcome",
    "language": "en",
    "subject": "Hello {{ name }}",
    "from_name": "News",
    "from_address": "Anna@Sender.EXAMPLE",
    "reply_to": "",
    "html": "<p>Hello</p>\r\n<p>{{ name }}</p>\r\n",
    "text": "",
    "files-TOTAL_FORMS": "0",
    "files-INITIAL_FORMS": "0",
    "versions-TOTAL_FORMS": "0",
    "versions-INITIAL_FORMS": "0",
}


def _errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200, response
    return dict(response.context["adminform"].form.errors)


def test_a_message_is_saved_with_its_first_version(admin: Client) -> None:
    assert "Versions, newest first" not in admin.get(page("message", "add")).content.decode()
    assert admin.post(page("message", "add"), CONTENT).status_code == 302
    version = Message.objects.get().current
    assert version is not None
    assert (version.number, version.html) == (1, "<p>Hello</p>\n<p>{{ name }}</p>\n")
    assert version.from_address == "Anna@sender.example"
    assert version.created_by is not None


def test_only_changed_content_makes_a_version(admin: Client) -> None:
    admin.post(page("message", "add"), CONTENT)
    message = Message.objects.get()
    url = page("message", "change", message)
    admin.post(url, {**form_data(admin, url), "name": "Renamed"})
    assert message.versions.count() == 1
    admin.post(url, {**form_data(admin, url), "subject": "Good morning"})
    assert [v.subject for v in message.versions.all()] == ["Good morning", "Hello {{ name }}"]
    shown = admin.get(url).content.decode()
    assert "Good morning" in shown
    assert page("messageversion", "change", message.versions.last()) in shown


def test_of_two_who_change_a_message_the_second_is_told_who_was_first(
    admin: Client, client: Client
) -> None:
    admin.post(page("message", "add"), CONTENT)
    message = Message.objects.get()
    url = page("message", "change", message)
    opened = form_data(admin, url)
    client.force_login(User.objects.create_superuser("anna"))
    client.post(url, {**form_data(client, url), "subject": "Hers"})
    theirs = message.current
    assert theirs is not None
    for without in ({}, {"opened": ""}):
        answer = client.post(url, {**opened, "subject": "His", "name": "Renamed", **without})
        (told,) = _errors(answer)["__all__"]
        assert told == (
            f"“Welcome” was changed by anna on {exact_time(theirs.created_at)}, after this page was"
            " opened. Nothing was saved. What you wrote is below; open the message anew to see what"
            " it holds now."
        )
        assert 'value="His"' in answer.content.decode()
    message.refresh_from_db()
    assert (message.name, message.current) == ("Welcome", theirs)
    client.post(url, {**form_data(client, url), "subject": "Both"})
    assert [v.subject for v in message.versions.all()] == ["Both", "Hers", "Hello {{ name }}"]


@pytest.mark.parametrize(("field", "theirs"), [("name", "Hers"), ("language", "de")])
def test_a_changed_name_or_language_is_not_overwritten_either(
    admin: Client, field: str, theirs: str
) -> None:
    admin.post(page("message", "add"), CONTENT)
    message = Message.objects.get()
    url = page("message", "change", message)
    opened = form_data(admin, url)
    admin.post(url, {**form_data(admin, url), field: theirs})
    (told,) = _errors(admin.post(url, {**opened, "subject": "His"}))["__all__"]
    assert "was changed after this page was opened. Nothing was saved." in told
    message.refresh_from_db()
    assert getattr(message, field) == theirs
    assert message.versions.count() == 1


def test_html_without_a_text_is_said_at_the_text(admin: Client) -> None:
    nothing = "<!-- {% if name %}x{% endif %} -->"
    answer = admin.post(page("message", "add"), CONTENT | {"html": nothing, "text": ""})
    assert "no text can be made of this HTML" in _errors(answer)["text"][0]


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        (
            "html",
            "<p>one</p>\r\n{% set x = 1 %}",
            "Line 2: {% set %} is not available in messages.",
        ),
        ("text", "a\n\n{{ name|nonsense }}", "Line 3: there is no filter &quot;nonsense&quot;"),
        ("subject", "{{ name", "Line 1: "),
        ("html", "   ", "The message is empty"),
        ("from_address", "nobody", "is not an e-mail address"),
        ("reply_to", "x@", "is not an e-mail address"),
        ("subject", "a\nBcc: b@c.example", "Write it on one line."),
        ("from_name", "a\r\nBcc: b", "Line breaks and control characters"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_by_line(
    admin: Client, field: str, text: str, words: str
) -> None:
    answer = admin.post(page("message", "add"), {**CONTENT, field: text})
    assert field in _errors(answer)
    assert words in answer.content.decode()
    assert not Message.objects.exists()


def test_a_warning_is_shown_and_does_not_refuse(admin: Client) -> None:
    data = {**CONTENT, "html": "<p>\n<a href={{ link }}>x</a>"}
    answer = admin.post(page("message", "add"), data, follow=True)
    assert Message.objects.exists()
    assert any(words.startswith("HTML: Line 2: ") for words in said(answer))


def test_placeholders_that_nobody_has_are_warned_of(admin: Client) -> None:
    make_recipient(attributes={"city": "Rome"})
    data = {**CONTENT, "subject": "{{ City }}", "html": "{{ email }} {{ city }}", "text": "{{ x }}"}
    assert said(admin.post(page("message", "add"), data, follow=True))[:3] == [
        "No recipient has “City” at present. Perhaps “city” is meant.",
        "No recipient has “email” at present. Perhaps “address” is meant.",
        "No recipient has “x” at present; without a default, the message fails.",
    ]
    assert Message.objects.exists()


def test_a_used_message_is_not_deleted(admin: Client, world: World) -> None:
    url = page("message", "delete", world.message)
    answer = admin.post(url, {"post": "yes"}, follow=True)
    assert "is sent by “Weekly news”" in said(answer)[0]
    assert Message.objects.filter(pk=world.message.pk).exists()


def test_an_unused_message_goes_with_its_versions(admin: Client) -> None:
    admin.post(page("message", "add"), CONTENT)
    url = page("message", "delete", Message.objects.get())
    assert "message version: <strong>1<" in admin.get(url).content.decode()
    admin.post(url, {"post": "yes"})
    assert not Message.objects.exists()


def test_content_is_escaped_wherever_it_is_shown(admin: Client) -> None:
    evil = "<script>alert(1)</script>"
    admin.post(page("message", "add"), {**CONTENT, "html": evil, "subject": evil})
    message = Message.objects.get()
    for url in (
        page("message", "changelist"),
        page("message", "change", message),
        page("messageversion", "change", message.current),
    ):
        assert evil not in admin.get(url).content.decode()
    assert form_data(admin, page("message", "change", message))["html"] == evil


def test_both_parts_may_be_as_long_as_they_may_be_in_any_script(admin: Client) -> None:
    url = page("message", "add")
    long = "<p>" + "字" * 499_000 + "</p>"
    form = {**form_data(admin, url), "name": "Long", "subject": "字", "html": long, "text": long}
    form["from_address"] = "a@a.example"
    assert admin.post(url, form).status_code == 302
