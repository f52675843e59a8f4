"""Tests: DATABASE_URL chooses the database, SQLite in var/ without it; nothing is sent."""

import base64
import os
import tempfile

_key = base64.urlsafe_b64encode(bytes(32)).decode()
for _name, _value in {
    "SECRET_KEY": "only-for-tests-" + 40 * "x",
    "ADDRESS_KEY": _key,
    "CREDENTIAL_KEYS": _key,
    "DATABASE_URL": f"sqlite:///{tempfile.gettempdir()}/mailroom-test-{os.getuid()}.sqlite3",
    "BROKER_URL": f"filesystem://{tempfile.gettempdir()}/mailroom-test-broker-{os.getuid()}",
    "RELAY_URL": "smtp://127.0.0.1:9",
    "BASE_URL": "https://mail.example.org",
    "ALLOWED_HOSTS": "testserver,127.0.0.1,localhost",
    "MAIL_DOMAIN": "mail.example.org",
    "LOG_LEVEL": "WARNING",
}.items():
    os.environ.setdefault(_name, _value)

from .base import *  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, not memory: threads with connections of their own must see one database.
    DATABASES["default"]["TEST"] = {
        "NAME": f"{tempfile.gettempdir()}/mailroom-pytest-{os.getpid()}.sqlite3"
    }
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STATIC_ROOT = None  # nothing is collected here
WHITENOISE_USE_FINDERS = True  # the browser tests ask a real server for them
WHITENOISE_AUTOREFRESH = True
