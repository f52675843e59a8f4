"""Everything that can be said about the code without running its tests: `make check`."""

import base64
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
_KEY = base64.urlsafe_b64encode(os.urandom(32)).decode()
# Values that are well-formed and good for nothing: the checks connect to nothing.
PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "site_config.settings.production",
    "SECRET_KEY": base64.urlsafe_b64encode(os.urandom(60)).decode(),
    "ADDRESS_KEY": _KEY,
    "CREDENTIAL_KEYS": _KEY,
    "ALLOWED_HOSTS": "mail.example.org",
    "BASE_URL": "https://mail.example.org",
    "DATABASE_URL": "postgres://mailroom:mailroom@db.example.org/mailroom",
    "BROKER_URL": "amqp://mailroom:mailroom@broker.example.org/mailroom",
    "RELAY_URL": "smtp+starttls://mailroom:mailroom@relay.example.org:587",
    "MAIL_DOMAIN": "mail.example.org",
}
TESTS = {"DJANGO_SETTINGS_MODULE": "site_config.settings.test"}
MANAGE = [sys.executable, "manage.py"]
CHECKS: dict[str, tuple[list[str], dict[str, str]]] = {
    "lint": ([str(BIN / "ruff"), "check", "--output-format", "concise", "."], {}),
    "format": ([str(BIN / "ruff"), "format", "--check", "."], {}),
    "types": ([str(BIN / "mypy")], {}),
    "layers": ([str(BIN / "lint-imports")], {}),
    "production settings": (
        [*MANAGE, "check", "--deploy", "--fail-level", "WARNING"],
        PRODUCTION,
    ),
    "migrations": ([*MANAGE, "makemigrations", "--check", "--dry-run"], TESTS),
    "table of settings": ([sys.executable, "scripts/settings_table.py", "--check"], {}),
    "locked requirements": ([sys.executable, "scripts/locks.py", "check"], {}),
}


def main() -> int:
    failed = [name for name in CHECKS if not passes(name)]
    print(f"Failed: {', '.join(failed)}." if failed else "All checks passed.")
    return 1 if failed else 0


def passes(name: str) -> bool:
    """Run one check; what it printed is shown when it failed."""
    command, settings = CHECKS[name]
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603
        command,
        cwd=ROOT,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    passed = done.returncode == 0
    print(f"{'ok' if passed else 'FAILED':7} {name} ({time.monotonic() - began:.0f} s)", flush=True)
    if not passed:
        print(done.stdout, flush=True)
    return passed


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
