"""Flower, the page that watches Celery: `python -m site_config.flower` (`make flower`).

Flower itself starts without a login when none is set; this does not. Everything is handed over in
the environment, by Flower's own names (FLOWER_PORT, …): a command line shows its password to every
user of the machine.
"""

import os
import re
import sys
from collections.abc import MutableMapping
from pathlib import Path

from .launch import CannotStartError, port_problem
from .local_environment import ROOT, load_local_environment

LOCAL = "site_config.settings.local"
# --- Flower ----------------------------------------------------------------------------------
DEFAULTS = {
    # `user:password`, without commas or spaces. Flower does not start without it; `make flower` has
    # one from `var/local.env`.
    "FLOWER_BASIC_AUTH": "",
    # Where it listens. `/metrics` and `/healthcheck` answer without the login, whatever is set, so
    # as it is to this machine only.
    "FLOWER_ADDRESS": "127.0.0.1",
    # Its port.
    "FLOWER_PORT": "5555",
    # Whether it remembers what it has seen.
    "FLOWER_PERSISTENT": "True",
    # The file of its memory; when empty, `flower.db` in `MAILROOM_VAR`.
    "FLOWER_DB": "",
    # Milliseconds from one saving to the next; without it an orderly stop alone would save.
    "FLOWER_STATE_SAVE_INTERVAL": "10000",
    # How many tasks it remembers.
    "FLOWER_MAX_TASKS": "10000",
}


def main() -> int:
    environment = os.environ
    environment.setdefault("DJANGO_SETTINGS_MODULE", LOCAL)
    local = environment["DJANGO_SETTINGS_MODULE"] == LOCAL
    if local:
        load_local_environment(environment)
    try:
        prepare(environment)
    except CannotStartError as problem:
        print(problem, file=sys.stderr)
        return 1
    if local:
        print(welcome(environment), flush=True)
    os.chdir(ROOT)
    celery = [sys.executable, "-m", "celery", "-A", "site_config", "--quiet", "flower"]
    return os.execv(sys.executable, celery)  # noqa: S606  # no shell; its signals reach Flower itself


def prepare(environment: MutableMapping[str, str]) -> None:
    """Fill in what is not set. Raises CannotStartError without a login, or for a taken port."""
    for name, value in DEFAULTS.items():
        environment.setdefault(name, value)
    var = (ROOT / environment.get("MAILROOM_VAR", "var")).resolve()
    environment["FLOWER_DB"] = environment["FLOWER_DB"] or str(var / "flower.db")
    # A comma would make two logins of it, an empty half an open door.
    if not re.fullmatch(r"[^\s:,]+:[^\s,]+", environment["FLOWER_BASIC_AUTH"]):
        raise CannotStartError(
            "Flower is not started without a login: set FLOWER_BASIC_AUTH=user:password, "
            "without commas or spaces."
        )
    port = environment["FLOWER_PORT"]
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise CannotStartError(f"FLOWER_PORT={port} is not a port: choose a number.")
    if problem := port_problem(int(port)):
        raise CannotStartError(
            f"Port {port} {problem}. Choose another one: FLOWER_PORT={int(port) + 10} make flower"
        )
    Path(environment["FLOWER_DB"]).parent.mkdir(parents=True, exist_ok=True)


def welcome(environment: MutableMapping[str, str]) -> str:
    user, _, password = environment["FLOWER_BASIC_AUTH"].partition(":")
    return f"""
  Flower: http://127.0.0.1:{environment["FLOWER_PORT"]}/
  Log in as {user}, password {password}. It watches what `make demo` or `make up` runs.
  Ctrl-C stops it; what it has seen is kept.
"""


if __name__ == "__main__":
    sys.exit(main())
