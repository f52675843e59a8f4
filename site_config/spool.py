"""The embedded broker's folder, and the moves a message makes in it.

    tmp/       what is being written, or thrown away
    ready/     a folder per queue, a file per message: <time>-<uuid>-<times given back>
    claimed/   a folder per process: the messages it holds until it acknowledges them
    bindings/  a folder per exchange, a file per binding
    bad/       what could not be read, for a person to look at

Every change is one rename or one unlink: no locks, and nothing is half done after a kill -9.
Processes that share a folder run as one user: the folders are 0700.
"""

import contextlib
import hashlib
import heapq
import logging
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from uuid import uuid4

from kombu.exceptions import ChannelError
from kombu.utils.json import dumps, loads

from site_config.process_identity import is_alive, own_identity

logger = logging.getLogger(__name__)

STRAY_SECONDS = 600.0  # no writer takes this long between its first byte and its rename


class Binding(NamedTuple):
    routing_key: str
    pattern: str
    queue: str
    temporary: bool = False  # goes with its consumer, and with the process that declared it
    ttl: float | None = None  # seconds a message of a temporary queue may wait

    @property
    def key(self) -> str:
        return hashlib.sha256(dumps(self[:3]).encode()).hexdigest()[:32]


def file_name(name: str) -> str:
    """One path component per name: two names never share one, and none is hidden or holds a ~."""
    if not name:
        raise ChannelError("A queue or an exchange needs a name")
    return re.sub(r"^\.", "%2E", quote(name, safe="@")).replace("~", "%7E")


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


class Spool:
    """The folder, and the moves a message makes in it. A claimed message is known by its tag."""

    def __init__(self, folder: Path) -> None:
        self.tmp, self.ready, self.claimed = folder / "tmp", folder / "ready", folder / "claimed"
        self.bindings, self.bad = folder / "bindings", folder / "bad"

    def create(self) -> None:
        self.tmp.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.tmp, self.ready, self.claimed, self.bindings, self.bad):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _write(self, target: Path, data: bytes) -> None:
        draft = self.tmp / uuid4().hex
        try:
            # No fsync: the rename is whole whoever dies. Only a power cut can undo it, and then
            # the database rings again; an fsync would cost every publisher milliseconds.
            draft.write_bytes(data)
            draft.rename(target)
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    # Messages, in the order of their life

    def open_queue(self, queue: str) -> None:
        (self.ready / file_name(queue)).mkdir(mode=0o700, exist_ok=True)

    def has_queue(self, queue: str) -> bool:
        return (self.ready / file_name(queue)).is_dir()

    def publish(self, queue: str, data: bytes) -> None:
        """Raises FileNotFoundError when the queue is not open."""
        name = f"{time.time_ns():020d}-{uuid4().hex}-0"
        self._write(self.ready / file_name(queue) / name, data)

    def list_oldest(self, queue: str, *, limit: int) -> list[str]:
        return heapq.nsmallest(limit, _names(self.ready / file_name(queue)))

    def count_ready(self, queue: str) -> int:
        return len(_names(self.ready / file_name(queue)))

    def claim(self, queue: str, name: str) -> str | None:
        """Make the message ours and return its tag; None when another process got there first."""
        mine = self.claimed / own_identity()
        tag = f"{name}~{file_name(queue)}"
        try:
            (self.ready / file_name(queue) / name).rename(mine / tag)
        except FileNotFoundError:
            if mine.is_dir():
                return None
            mine.mkdir(mode=0o700)
            return self.claim(queue, name)
        return tag

    def read(self, tag: str) -> bytes:
        return (self.claimed / own_identity() / tag).read_bytes()

    def settle(self, tag: str) -> None:
        (self.claimed / own_identity() / tag).unlink(missing_ok=True)

    def give_back(self, tag: str, *, owner: str) -> None:
        """Put a claimed message back in its place, counted; a deleted queue's message goes."""
        claim = self.claimed / owner / tag
        name, _, queue = tag.rpartition("~")
        stem, _, times = name.rpartition("-")
        # Counted, so that no tag is used twice: a late ack must not settle the next delivery.
        again = f"{stem}-{int(times) + 1}" if times.isdigit() else f"{name}-1"
        try:
            claim.rename(self.ready / queue / again)
        except FileNotFoundError:
            claim.unlink(missing_ok=True)

    def move_aside(self, tag: str) -> None:
        (self.claimed / own_identity() / tag).replace(self.bad / tag)

    def purge(self, queue: str, *, before: int | None = None) -> int:
        """Remove the ready messages (those published before that time, in ns); return how many."""
        removed = 0
        for name in _names(self.ready / file_name(queue)):
            if before is None or name < f"{before:020d}":
                (self.ready / file_name(queue) / name).unlink(missing_ok=True)
                removed += 1
        return removed

    def delete_queue(self, queue: str) -> None:
        grave = self.tmp / uuid4().hex
        try:
            # Renamed first: a late writer finds the queue whole or gone, never half emptied.
            (self.ready / file_name(queue)).rename(grave)
        except FileNotFoundError:
            return
        shutil.rmtree(grave, ignore_errors=True)

    # Bindings: a file each, so that processes starting together never rewrite a common table

    def bind(self, exchange: str, binding: Binding) -> None:
        folder = self.bindings / file_name(exchange)
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = own_identity() if binding.temporary else ""
        self._write(folder / f"{binding.key}~{owner}", dumps(binding).encode())

    def unbind(self, exchange: str, binding: Binding) -> None:
        for path in (self.bindings / file_name(exchange)).glob(f"{binding.key}~*"):
            path.unlink(missing_ok=True)

    def list_bindings(self, exchange_folder: str) -> Iterator[tuple[Path, Binding]]:
        for name in _names(self.bindings / exchange_folder):
            path = self.bindings / exchange_folder / name
            try:
                yield path, Binding(*loads(path.read_bytes()))
            except FileNotFoundError:
                continue  # unbound meanwhile
            except Exception:
                path.replace(self.bad / name)  # the next declaration writes it anew
                logger.exception("Unreadable binding moved to %s", self.bad / name)

    # What the dead left

    def sweep(self) -> None:
        self.take_back()
        self.sweep_temporary()
        for path in self.tmp.iterdir():
            try:
                stray = path.stat().st_mtime < time.time() - STRAY_SECONDS
            except FileNotFoundError:
                continue  # written and renamed meanwhile
            if stray and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif stray:
                path.unlink(missing_ok=True)

    def take_back(self) -> None:
        for owner in _names(self.claimed):
            if is_alive(owner):
                continue
            for tag in _names(self.claimed / owner):
                self.give_back(tag, owner=owner)
                logger.warning("Took back %s from a dead process", tag)
            with contextlib.suppress(OSError):  # not empty, or gone: another sweep is at it
                (self.claimed / owner).rmdir()

    def sweep_temporary(self) -> None:
        dead, kept = set(), set()
        for exchange_folder in _names(self.bindings):
            for path, binding in self.list_bindings(exchange_folder):
                if binding.temporary and not is_alive(path.name.partition("~")[2]):
                    path.unlink(missing_ok=True)
                    dead.add(binding.queue)
                else:
                    kept.add(binding)
        for queue in dead - {binding.queue for binding in kept}:
            self.delete_queue(queue)
        for binding in kept:
            if binding.ttl is not None:
                self.purge(binding.queue, before=time.time_ns() - int(binding.ttl * 1e9))
