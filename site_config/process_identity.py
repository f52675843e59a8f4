"""Who a process is: boot, pid namespace, pid, start time, and a token for what an exec replaced."""

import functools
import os
import re
import subprocess
from pathlib import Path
from uuid import uuid4


def _started_by_ps(pid: int) -> str | None:
    found = subprocess.run(  # noqa: S603
        ["ps", "-o", "state=", "-o", "lstart=", "-p", str(pid)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"LC_ALL": "C", "TZ": "UTC"},  # two processes must read one date
    )
    state, _, start = found.stdout.strip().partition(" ")
    return None if state[:1] in ("", "Z") else re.sub(r"\W+", "-", start.strip())


def started_at(pid: int) -> str | None:
    """When the process began, in its kernel's own words; None if it is dead (proc(5), field 22)."""
    if not Path("/proc/self/stat").exists():
        return _started_by_ps(pid)  # macOS
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(b")")[2].split()  # the name in brackets may hold spaces
    # A zombie keeps its pid until its parent looks, which may be never: it holds nothing.
    return None if state in (b"Z", b"X") else fields[18].decode()


@functools.cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}.{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return "boot.pids"  # macOS: lstart is a date, so it already tells one boot from another


# Made before anybody asks: two threads that asked first at once would each get one of their own,
# and the process would take for dead what it declared under the other.
_token = uuid4().hex


@functools.cache
def own_identity() -> str:
    return f"{_machine()}.{os.getpid()}.{started_at(os.getpid())}.{_token}"


def _begin_anew() -> None:
    """A child must not pass for its parent: what that holds is not the child's to give back."""
    global _token  # noqa: PLW0603
    _token = uuid4().hex
    own_identity.cache_clear()


os.register_at_fork(after_in_child=_begin_anew)


def is_alive(owner: str) -> bool:
    """True when the process of that identity may still run; what cannot be judged is alive."""
    if owner == own_identity() or owner.count(".") != 4:
        return True
    boot, namespace, pid, start, _ = owner.split(".")
    own_boot, own_namespace = _machine().split(".")
    if boot != own_boot:
        return False
    if namespace != own_namespace:
        return True  # another container's pids cannot be seen; twice is worse than late
    if int(pid) == os.getpid():
        return False  # our number without our token: from before an exec
    return started_at(int(pid)) == start
