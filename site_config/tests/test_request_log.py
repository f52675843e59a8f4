"""A refused request is one line in the log."""

import logging

import pytest
from django.contrib.auth.models import User
from django.test import Client

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def test_a_403_is_one_line_that_says_who_and_what(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    user = User.objects.create_user("clerk", is_staff=True)
    client.force_login(user)
    assert client.get("/admin/mailer/run/é/change/?q=anna@a.example").status_code == 403
    record = next(record for record in caplog.records if record.name == "django.request")
    line = logging.Formatter("%(message)s").format(record)
    assert line == f"Forbidden: user {user.pk}, GET /admin/mailer/run/%C3%A9/change/"


def test_what_is_no_403_keeps_its_words(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    assert client.get("/nothing/").status_code == 404
    assert "Not Found: /nothing/" in caplog.messages
