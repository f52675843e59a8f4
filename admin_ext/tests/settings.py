"""A site of this app alone, to test it as the package it could be."""

import os
import tempfile
from pathlib import Path

import django_stubs_ext
import environ

django_stubs_ext.monkeypatch()

SECRET_KEY = "only-for-tests-" + 40 * "x"
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
ROOT_URLCONF = "admin_ext.tests.urls"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
INSTALLED_APPS = [
    "admin_ext",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_celery_results",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

_folder = Path(tempfile.gettempdir())
DATABASES = {
    "default": environ.Env().db_url(
        "DATABASE_URL", f"sqlite:///{_folder}/admin-ext-{os.getuid()}.sqlite3"
    )
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON;",
    }
    # A file: threads and real workers must see the same database.
    DATABASES["default"]["TEST"] = {"NAME": f"{_folder}/admin-ext-pytest-{os.getpid()}.sqlite3"}

CELERY_BROKER_URL = "filesystem://"
CELERY_BROKER_TRANSPORT_OPTIONS = {"polling_interval": 0.05} | {
    name: os.environ.get("ADMIN_EXT_TEST_BROKER", str(_folder / f"admin-ext-broker-{os.getpid()}"))
    for name in ("data_folder_in", "data_folder_out", "control_folder")
}
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
CELERY_TASK_STORE_EAGER_RESULT = True
CELERY_TASK_TRACK_STARTED = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_DEFAULT_QUEUE = "work"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_LOST_WAIT = 0.5  # how long the main process waits before it calls a child lost
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "admin_ext.scheduler:Scheduler"
CELERY_BEAT_SYNC_EVERY = 1
CELERY_BEAT_CRON_STARTING_DEADLINE = 600
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
ADMIN_EXT_HEARTBEAT_SECONDS = float(os.environ.get("ADMIN_EXT_TEST_HEARTBEAT", "5"))
ADMIN_EXT_BEAT_LEASE_SECONDS = float(os.environ.get("ADMIN_EXT_TEST_LEASE", "15"))
