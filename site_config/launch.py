"""Everything on one machine: `python -m site_config.launch [--demo]` (`make demo`, `make up`)."""

import argparse
import contextlib
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from honcho.environ import parse_procfile

from .launch_lock import AlreadyRunsError, LaunchLock
from .processes import Processes

ROOT = Path(__file__).resolve().parent.parent
PORTS = {"PORT": "8000", "SMTP_PORT": "8025"}
# A port may still be held for a moment by what a kill -9 left to die.
PORT_PATIENCE = 3.0
WEB_PATIENCE = 60.0


class CannotStartError(Exception):
    """Nothing was started; the text says why and what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m site_config.launch")
    parser.add_argument("--demo", action="store_true", help="with demo data")
    demo = parser.parse_args().demo
    target = "make demo" if demo else "make up"
    lock = LaunchLock(ROOT / os.environ.get("MAILROOM_VAR", "var"))
    try:
        # Before the ports: theirs would be "taken", and the advice would be to take others.
        with one_launcher(target):
            lock.check()
        check_ports(target)
        with one_launcher(target):
            lock.take(site_address())
        prepare(demo=demo)
    except CannotStartError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    procfile = parse_procfile((ROOT / "Procfile").read_text())
    processes = Processes(procfile.processes, stopped_last="inbox")
    words = welcome(demo=demo)
    stopped = processes.run(
        given_up=Parent().gave_up, once_started=lambda: announce(processes, words)
    )
    processes.say(f"Stopped. `{target}` goes on from here.")
    return stopped


@contextlib.contextmanager
def one_launcher(target: str) -> Iterator[None]:
    """Raises CannotStartError when the folder is another launcher's, or cannot be locked."""
    try:
        yield
    except AlreadyRunsError as problem:
        how = f"Stop it first, or choose another folder: MAILROOM_VAR=var2 {target}"
        raise CannotStartError(f"{problem}. {how}") from problem
    except OSError as problem:
        raise CannotStartError(f"Nothing can be kept in var/: {problem}") from problem


def site_address() -> str:
    return f"http://127.0.0.1:{os.environ['PORT']}/admin/"


def check_ports(target: str) -> None:
    """Raises CannotStartError for a port that is none or that somebody else listens on."""
    seen: dict[int, str] = {}
    for name, default in PORTS.items():
        text = os.environ.setdefault(name, default)
        if not text.isdecimal() or not 1 <= int(text) <= 65535:
            raise CannotStartError(f"{name}={text} is not a port: choose a number, {name}=18000")
        port = int(text)
        how = f"Choose another one: {name}={port + 10} {target}"
        if port in seen:
            raise CannotStartError(f"{seen[port]} and {name} are both {port}. {how}")
        seen[port] = name
        if problem := port_problem(port):
            raise CannotStartError(f"Port {port} {problem}. {how}")


def port_problem(port: int) -> str:
    """Why 127.0.0.1:port cannot be listened on; "" when it can."""
    deadline = time.monotonic() + PORT_PATIENCE
    while True:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
                listener.listen()
            except PermissionError:
                return "may not be used without root"
            except OSError:
                if time.monotonic() > deadline:
                    return "is taken"
            else:
                return ""
        time.sleep(0.2)


def prepare(*, demo: bool) -> None:
    """Migrate and load; leaves in the environment what the processes shall see."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "site_config.settings.local"
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ["PYTHONUNBUFFERED"] = "1"
    if os.getuid() == 0:
        # Celery's advice about root is for servers.
        os.environ["PYTHONWARNINGS"] = "ignore:You're running the worker with superuser"
    os.chdir(ROOT)
    import django
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import CommandError, call_command
    from django.db import DatabaseError, connections

    try:
        django.setup()
        call_command("migrate", verbosity=0)
        if demo:
            call_command("load_demo")
        connections.close_all()
    except (CommandError, ImproperlyConfigured, DatabaseError) as problem:
        raise CannotStartError(str(problem)) from problem


def welcome(*, demo: bool) -> str:
    """What is said once the site answers."""
    from django.conf import settings

    address = site_address()
    if not demo:
        return f"""
  Mailroom is up: {address}
  An administrator: `make superuser` in another terminal. Ctrl-C stops everything.
"""
    from mailer.management.commands.load_demo import LOGIN, PASSWORD

    inbox = str(Path(os.environ.get("MAILROOM_VAR", "var")) / "inbox")
    relay = f"{settings.RELAY_URL.host}:{settings.RELAY_URL.port}"
    return f"""
  Mailroom is up: {address}
  Log in as {LOGIN}, password {PASSWORD} (unless you have changed it).

  A mailing goes out every minute, the first within 90 seconds. Then look at
    Runs           the counts, and who was left out    {address}mailer/run/
    Deliveries     what became of each message         {address}mailer/delivery/
    Task results   what Celery stored for each batch   {address}django_celery_results/taskresult/
    {inbox:14} what the mail server at {relay} received

  It goes on every minute until you switch its schedule off. Ctrl-C stops everything.
"""


def announce(processes: Processes, words: str) -> None:
    """Say the words once the site answers."""
    deadline = time.monotonic() + WEB_PATIENCE
    while not site_answers():
        if time.monotonic() > deadline:
            words = "The site does not answer; the lines above may say why."
            break
        time.sleep(0.2)
    processes.say(words)


def site_answers() -> bool:
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{os.environ['PORT']}/admin/login/", timeout=5
        ):
            return True
    except OSError:
        return False


class Parent:
    """The make that started this: when it is told to stop, or gone, this stops too.

    Ctrl-C reaches both. A SIGINT to make alone does not get here: make waits for us. On Linux one
    sees that it no longer catches the signal.
    """

    def __init__(self) -> None:
        self._pid = os.getppid() if "MAKELEVEL" in os.environ else None
        self._caught = self._catches_sigint()

    def gave_up(self) -> bool:
        if self._pid is None:
            return False
        return os.getppid() != self._pid or (self._caught and not self._catches_sigint())

    def _catches_sigint(self) -> bool:
        try:
            status = Path(f"/proc/{self._pid}/status").read_text()
            caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        except (OSError, StopIteration):
            return False
        return bool(int(caught.split()[1], 16) & 0b10)


if __name__ == "__main__":
    sys.exit(main())
