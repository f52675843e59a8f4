"""Make .env from .env.example, with fresh secrets: `python3 scripts/make_env.py`. Once.

Plain Python, no packages: it runs on a machine that has nothing but containers.
"""

import base64
import os
import re
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def make_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def make_password() -> str:
    return secrets.token_hex(16)  # goes into URLs as it is


SECRETS: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(50),
    "ADDRESS_KEY": make_key,
    "CREDENTIAL_KEYS": make_key,
    "MAIL_DB_PASSWORD": make_password,
    "MAIL_BROKER_PASSWORD": make_password,
    "FLOWER_BASIC_AUTH": lambda: f"admin:{make_password()}",
}


def fill_in(example: str) -> str:
    """The example with a fresh value behind every secret that has none."""
    names = "|".join(SECRETS)
    return re.sub(rf"(?m)^({names})=$", lambda line: f"{line[1]}={SECRETS[line[1]]()}", example)


def main() -> int:
    target = ROOT / ".env"
    text = fill_in((ROOT / ".env.example").read_text(encoding="utf-8"))
    try:
        # Never over an old one: its ADDRESS_KEY is worth as much as the database.
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{target} is there already and stays as it is.", file=sys.stderr)
        return 1
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    print(f"{target} was made. Flower's login is in it: FLOWER_BASIC_AUTH.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
