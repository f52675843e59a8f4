"""What holds everywhere. A value that is missing or malformed stops the start and says which."""

from pathlib import Path

import django_stubs_ext
from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from .environment import (
    env,
    read_base_url,
    read_choice,
    read_database_url,
    read_domain,
    read_fernet_keys,
    read_hosts,
    read_key,
    read_positive,
    read_relay_url,
    read_text,
    read_time_zone,
)

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent.parent

# --- Secrets and addresses -------------------------------------------------------------------
# Signs sessions and forms; whoever has it can log in as anybody.
SECRET_KEY = read_text("SECRET_KEY")
# Earlier values of `SECRET_KEY`, separated by commas, while you change it.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
# 32 bytes or more in base64. Keys the hash of every address: recipients, suppressions and
# deliveries are matched by it, and a suppression outlives the erasure of its person. It must never
# change.
ADDRESS_KEY = read_key("ADDRESS_KEY")
# Fernet keys for relay passwords at rest, separated by commas. Put a new one in front to change it.
CREDENTIAL_KEYS = read_fernet_keys("CREDENTIAL_KEYS")
# The site's host names, separated by commas.
ALLOWED_HOSTS = read_hosts("ALLOWED_HOSTS")
# The site's public address, such as `https://mail.example.org`. Links in mail and the check of
# forms go by it, never by the Host header.
BASE_URL = read_base_url("BASE_URL")
CSRF_TRUSTED_ORIGINS = [BASE_URL]
# The relay of relays marked "from the environment": `smtp+starttls://user:password@host:587`,
# `smtp://host:25` or `smtps://user:password@host:465`. Percent-encode special characters.
RELAY_URL = read_relay_url("RELAY_URL")
# The right-hand side of Message-ID and List-Id, and the name given in EHLO.
MAIL_DOMAIN = read_domain("MAIL_DOMAIN")

# --- The site --------------------------------------------------------------------------------
DEBUG = False
ROOT_URLCONF = "site_config.urls"
WSGI_APPLICATION = "site_config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "mailer",
    "admin_ext",  # before the admin: its templates are the skin
    "site_config.apps.MailroomAdminConfig",  # django.contrib.admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_celery_results",
    "csp",
]
MIDDLEWARE = [
    "site_config.health.HealthMiddleware",  # first: probes have no right Host and no HTTPS
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# Strict: no inline script or style anywhere, so a hole in escaping runs nothing.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-src": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
STATIC_URL = "static/"
STATIC_ROOT: Path | None = BASE_DIR / "staticfiles"
FIXTURE_DIRS = [BASE_DIR / "fixtures"]

USE_TZ = True
# Of the pages. Each schedule has a time zone of its own.
TIME_ZONE = read_time_zone("TIME_ZONE", "UTC")
LANGUAGE_CODE = "en"
# A language is listed once every page of ours speaks it; half of one is worse than none.
LANGUAGES = [("en", _("English"))]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "filters": {"forbidden": {"()": "site_config.request_log.ForbiddenFilter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {
        "handlers": ["console"],
        # `DEBUG`, `INFO`, `WARNING` or `ERROR`: what matters less is not logged. `make demo` and
        # `make up` use `WARNING`.
        "level": read_choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
    },
    "loggers": {"django.request": {"filters": ["forbidden"]}},
}

# --- Database --------------------------------------------------------------------------------
# `postgres://user:password@host:5432/name`, or `sqlite:////absolute/file` on one machine.
DATABASES = {"default": read_database_url("DATABASE_URL")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # A transaction that will write says so at its start: a later upgrade from read to write
        # fails at once with "database is locked", whatever the timeout.
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        # FULL: a commit survives a power cut. A lost mark could send a window twice.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
    }
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"]["OPTIONS"] = {
        # A server that is gone without a word is found out in seconds; by themselves a connection
        # waits two minutes for it, and a statement two hours.
        "connect_timeout": 5,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,  # milliseconds
        **DATABASES["default"].get("OPTIONS", {}),  # DATABASE_URL?connect_timeout=10
    }

# --- Forms -----------------------------------------------------------------------------------
# A message's HTML and plain text, 500,000 characters each, of up to four octets; and the rest.
DATA_UPLOAD_MAX_MEMORY_SIZE = 5_000_000

# --- Signs of life ---------------------------------------------------------------------------
# How often workers and beat say that they live, in seconds. Silent for six times as long, they are
# taken for gone.
ADMIN_EXT_HEARTBEAT_SECONDS = read_positive("ADMIN_EXT_HEARTBEAT_SECONDS", 5)
# A beat silent for so many seconds loses its place to a second one.
ADMIN_EXT_BEAT_LEASE_SECONDS = read_positive("ADMIN_EXT_BEAT_LEASE_SECONDS", 15)

from .celery import *  # noqa: E402
from .mailer import *  # noqa: E402
