"""Defaults for running on one machine: secrets are made once and kept in var/local.env."""

import base64
import os
import secrets
from collections.abc import Iterator, MutableMapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def load_local_environment(environment: MutableMapping[str, str], *, root: Path = ROOT) -> None:
    """Fill in what `environment` does not set; make the folder and its secrets at first use."""
    # --- Only `make demo`, `make up`, `make flower` ------------------------------------------
    # The folder of all that is kept: secrets, database, broker, inbox. Counted from the project's.
    var = (root / environment.get("MAILROOM_VAR", "var")).resolve()
    var.mkdir(parents=True, exist_ok=True)
    _make_secrets(var / "local.env")
    for name, value in dotenv(var / "local.env"):
        environment.setdefault(name, value)
    # Where the site listens.
    port = environment.get("PORT", "8000")
    # Where the mail server listens that keeps all it gets.
    smtp_port = environment.get("SMTP_PORT", "8025")
    for name, value in {
        "DATABASE_URL": f"sqlite:///{var / 'mailroom.sqlite3'}",
        "BROKER_URL": f"filesystem://{var / 'broker'}",
        "RELAY_URL": f"smtp://127.0.0.1:{smtp_port}",
        "BASE_URL": f"http://127.0.0.1:{port}",
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "MAIL_DOMAIN": "mailroom.example",
    }.items():
        environment.setdefault(name, value)


def dotenv(path: Path) -> Iterator[tuple[str, str]]:
    """The NAME=value lines of a file that this module wrote."""
    for line in path.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.startswith("#"):
            yield name, value


def _make_secrets(path: Path) -> None:
    if path.exists():
        _add_flower_login(path)
        return
    lines = [
        "# Made at the first start. ADDRESS_KEY must not change while the database is kept.",
        f"SECRET_KEY={secrets.token_urlsafe(50)}",
        *(
            f"{name}={base64.urlsafe_b64encode(os.urandom(32)).decode()}"
            for name in ("ADDRESS_KEY", "CREDENTIAL_KEYS")
        ),
        _make_flower_login(),
    ]
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text("\n".join(lines) + "\n")
    try:
        os.link(fresh, path)  # the first of several processes wins; the others read its file
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def _add_flower_login(path: Path) -> None:
    """For a file of before there was Flower. A key is never added: see ADDRESS_KEY."""
    if not any(name == "FLOWER_BASIC_AUTH" for name, _value in dotenv(path)):
        with path.open("a") as file:
            file.write(f"{_make_flower_login()}\n")


def _make_flower_login() -> str:
    return f"FLOWER_BASIC_AUTH=admin:{secrets.token_urlsafe(12)}"
