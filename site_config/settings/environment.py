"""Readers for values from the environment: each returns a checked value or says what is wrong."""

import base64
import binascii
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, available_timezones

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()

RELAY_SCHEMES = {"smtp": "none", "smtp+starttls": "starttls", "smtps": "tls"}
RELAY_PORTS = {"none": 25, "starttls": 587, "tls": 465}


@dataclass(frozen=True, slots=True)
class RelayURL:
    """Where the default relay listens; `security` is none, starttls or tls."""

    host: str
    port: int
    security: str
    username: str
    password: str = field(repr=False)


def read_key(name: str) -> bytes:
    """A secret of at least 32 bytes, written in base64. Raises ImproperlyConfigured."""
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
    """Fernet keys, newest first: the first encrypts, all decrypt. Raises ImproperlyConfigured."""
    keys = [key for key in env.list(name) if key]
    if not keys or any(len(key) != 44 for key in keys):
        raise ImproperlyConfigured(
            f"{name} must hold one or more Fernet keys of 44 characters, newest first, "
            f"separated by commas. {_HOW_TO_MAKE_A_KEY}"
        )
    return keys


def read_base_url(name: str) -> str:
    """The site's public address without a trailing slash, such as https://mail.example.org."""
    url: str = env.str(name).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ImproperlyConfigured(f"{name} must look like https://mail.example.org, not {url!r}.")
    return url


def read_relay_url(name: str) -> RelayURL:
    """smtp://host:25, smtp+starttls://user:password@host:587 or smtps://…:465."""
    parts = urlsplit(env.str(name))
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in RELAY_SCHEMES or not parts.hostname or port == -1:
        raise ImproperlyConfigured(
            f"{name} must look like smtp+starttls://user:password@relay.example.org:587 "
            f"(or smtp://, smtps://); special characters in the password are percent-encoded."
        )
    security = RELAY_SCHEMES[parts.scheme]
    return RelayURL(
        host=parts.hostname,
        port=port or RELAY_PORTS[security],
        security=security,
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


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


def read_switch(name: str, *, default: bool = False) -> bool:
    """1, true, yes, on; 0, false, no, off, empty. Anything else is a mistake, not a no."""
    value = env.str(name, str(default)).lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"", "0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, not {value!r}.")


_HOW_TO_MAKE_A_KEY = (
    "Make one with: python3 -c "
    "'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
)
