"""A backend that staff could choose and that does not work is said before anything is sent."""

import pytest
from pytest_django import Settings

from mailer.checks import check_backends

SMTP = "django.core.mail.backends.smtp.EmailBackend"


def test_backends_that_are_there_are_fine(settings: Settings) -> None:
    settings.MAILER_BACKENDS = [SMTP, "anymail.backends.test.EmailBackend"]
    assert check_backends(None) == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("anymail.backends.nobody.EmailBackend", "cannot be imported: ModuleNotFoundError: No mod"),
        ("smtp", "cannot be imported: ImportError"),
        ("django.core.mail.get_connection", "is not an e-mail backend: a class with a method"),
        ("django.core.mail.EmailMessage", "is not an e-mail backend"),
    ],
)
def test_one_that_is_not_is_named(settings: Settings, name: str, problem: str) -> None:
    settings.MAILER_BACKENDS = [SMTP, name]
    (error,) = check_backends(None)
    assert error.msg.startswith(f"MAILER_BACKENDS: {name!r} {problem}")
    assert "Install its package" in (error.hint or "")
