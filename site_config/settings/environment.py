"""Readers for values from the environment: each returns a checked value or says what is wrong."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import SplitResult, unquote, urlsplit
from zoneinfo import ZoneInfo, available_timezones

import environ
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

env = environ.Env()

RELAY_SCHEMES = {"smtp": "none", "smtp+starttls": "starttls", "smtps": "tls"}
RELAY_PORTS = {"none": 25, "starttls": 587, "tls": 465}
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE
)
# A name, a dot before it for its subdomains as well, an address, or * for all.
_ALLOWED_HOST = re.compile(r"\*|\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RelayURL:
    """Where the default relay listens; `security` is none, starttls or tls."""

    host: str
    port: int
    security: str
    username: str
    password: str = field(repr=False)


def read_text(name: str) -> str:
    """Any words, but not none. Raises ImproperlyConfigured, as all of these do."""
    value: str = env.str(name)
    if not value.strip():
        raise ImproperlyConfigured(f"{name} is empty.")
    return value


def read_key(name: str) -> bytes:
    """A secret of at least 32 bytes, written in base64."""
    try:
        key = base64.b64decode(env.str(name), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImproperlyConfigured(f"{name} is not base64: {error}. {_HOW_TO_MAKE_A_KEY}") from None
    if len(key) < 32:
        raise ImproperlyConfigured(
            f"{name} has {len(key)} bytes, 32 are needed. {_HOW_TO_MAKE_A_KEY}"
        )
    return key


def read_fernet_keys(name: str) -> list[str]:
    """Fernet keys, newest first: the first encrypts, all decrypt."""
    keys = [key for key in env.list(name) if key]
    try:
        made = [Fernet(key) for key in keys]
    except ValueError:
        made = []
    if not made:
        raise ImproperlyConfigured(
            f"{name} must hold one or more Fernet keys of 44 characters, newest first, "
            f"separated by commas. {_HOW_TO_MAKE_A_KEY}"
        ) from None
    return keys


def read_hosts(name: str) -> list[str]:
    """Host names without scheme and port, such as mail.example.org."""
    hosts = [host for item in env.list(name) if (host := item.strip())]
    wrong = [host for host in hosts if not _ALLOWED_HOST.fullmatch(host)]
    if wrong or not hosts:
        raise ImproperlyConfigured(
            f"{name} must hold host names such as mail.example.org, separated by commas"
            + (f", not {wrong[0]!r}." if wrong else ".")
        )
    return hosts


def read_domain(name: str) -> str:
    """A domain name in ASCII, such as mail.example.org."""
    domain: str = env.str(name)
    if not _DOMAIN.fullmatch(domain):
        raise ImproperlyConfigured(
            f"{name} must be a domain name such as mail.example.org, not {domain!r}."
        )
    return domain


def read_base_url(name: str) -> str:
    """The site's public address without a trailing slash, such as https://mail.example.org."""
    url: str = env.str(name).rstrip("/")
    parts = _split(url)
    # No path: the site answers at the root of its host, and a form's Origin never has one.
    if not parts or url != f"{parts.scheme}://{parts.netloc}" or "@" in url:
        parts = None
    if not parts or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ImproperlyConfigured(f"{name} must look like https://mail.example.org, not {url!r}.")
    return url


def read_relay_url(name: str, default: str = "") -> RelayURL:
    """smtp://host:25, smtp+starttls://user:password@host:587 or smtps://…:465."""
    parts = _split(env.str(name, default) if default else env.str(name))
    if not parts or parts.scheme not in RELAY_SCHEMES or not parts.hostname:
        raise ImproperlyConfigured(
            f"{name} must look like smtp+starttls://user:password@relay.example.org:587 "
            f"(or smtp://, smtps://); special characters in the password are percent-encoded."
        )
    security = RELAY_SCHEMES[parts.scheme]
    return RelayURL(
        host=parts.hostname,
        port=parts.port or RELAY_PORTS[security],
        security=security,
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


def read_database_url(name: str) -> dict[str, Any]:
    """Django's settings for postgres://user:password@host:5432/name or sqlite:////file."""
    database: dict[str, Any] = {}
    # The scheme first: of one that it does not know, environ prints the address with its password.
    scheme = env.str(name).partition("://")[0]
    if scheme in {"postgres", "postgresql", "sqlite"}:
        with suppress(ValueError):
            database = env.db_url(name)
    if not database.get("NAME"):
        raise ImproperlyConfigured(f"{name} must be postgres://user@host/name or sqlite:////file.")
    return database


def read_broker_url(name: str) -> str:
    """amqp(s)://…, redis(s)://host/0 or filesystem:///absolute/folder."""
    url: str = env.str(name)
    parts = _split(url)
    well_formed = parts is not None and (
        (parts.scheme in {"amqp", "amqps"} and parts.hostname)
        or (parts.scheme in {"redis", "rediss"} and re.fullmatch(r"/?[0-9]*", parts.path))
        or (parts.scheme == "filesystem" and parts.path.startswith("/") and not parts.netloc)
    )
    if not well_formed:
        raise ImproperlyConfigured(
            f"{name} must be amqp://user:password@host/vhost, redis://host/0 or "
            "filesystem:///folder."
        )
    return url


def read_object(name: str, default: str) -> dict[str, Any]:
    """A JSON object. What it holds may be secret, so nothing of it is shown."""
    try:
        value = json.loads(env.str(name, default) or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ImproperlyConfigured(f'{name} must be a JSON object such as {{"KEY": "value"}}.')
    return value


def read_choice(name: str, default: str, choices: Sequence[str]) -> str:
    """One of some words, in capitals; small letters will do."""
    value = env.str(name, default).upper()
    if value not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
    return str(value)


def read_time_zone(name: str, default: str) -> str:
    """An IANA time zone name."""
    zone = env.str(name, default)
    if zone not in available_timezones():
        raise ImproperlyConfigured(f"{name}={zone!r} is not a time zone such as Asia/Taipei.")
    return ZoneInfo(zone).key


def read_positive(name: str, default: float) -> float:
    """A number above zero (seconds or a count, as the setting's comment says)."""
    try:
        value: float = env.float(name, default)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise ImproperlyConfigured(f"{name} must be a number above 0, not {env.str(name)!r}.")
    return value


def read_count(name: str, default: int) -> int:
    """A whole number above zero."""
    value = env.str(name, str(default))
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        raise ImproperlyConfigured(f"{name} must be a whole number above 0, not {value!r}.")
    return int(value)


def read_callable(name: str, default: str) -> Callable[..., Any] | None:
    """What a dotted name such as package.module.function stands for; None where it is empty."""
    path: str = env.str(name, default)
    if not path:
        return None
    try:
        found = import_string(path)
    except Exception as error:  # whatever its module does
        raise ImproperlyConfigured(
            f"{name}={path!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not callable(found):
        raise ImproperlyConfigured(f"{name}={path!r} is not a function.")
    return cast("Callable[..., Any]", found)


def read_names(name: str, default: str) -> list[str]:
    """Names separated by commas; none where it is empty."""
    return [item for part in env.str(name, default).split(",") if (item := part.strip())]


def read_switch(name: str, *, default: bool = False) -> bool:
    """1, true, yes, on; 0, false, no, off, empty. Anything else is a mistake, not a no."""
    value = env.str(name, str(default)).lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"", "0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, not {value!r}.")


def _split(url: str) -> SplitResult | None:
    """The parts of an address; None when its host or its port cannot be read."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError
    except ValueError:
        return None
    return parts


_HOW_TO_MAKE_A_KEY = (
    "Make one with: python3 -c "
    "'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
)
