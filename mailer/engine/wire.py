"""smtplib's EHLO and AUTH on a socket whose replies are read strictly and within a deadline."""

from __future__ import annotations

import re
import select
import smtplib
import socket
import ssl
import time

_REPLY_LIMIT = 65536  # octets of all lines; RFC 5321 §4.5.3.1.5 asks for 512 a line
# Octets a second that a relay has to take, a line of 128 kbit/s: the largest message, 20 MB, then
# leaves within the time that a task has (settings/celery.py).
_SLOWEST = 16_000
_AHEAD = 65_536  # octets that wait in the kernel: with its own megabytes it stays silent for long
_RECORD = 16_384  # octets in a TLS record (RFC 8446 §5.1)
_USUAL = {b"250 ": 250, b"354 ": 354}  # replies of one line, as nearly all are
_OCTETS = re.compile(r"[0-9]{1,20}")
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)


class GarbageReply(smtplib.SMTPException):
    """What arrived is not an SMTP reply (RFC 5321 §4.2)."""


class Wire(smtplib.SMTP):
    """An open connection. `getreply` raises TimeoutError, OSError or GarbageReply."""

    def __init__(self, open_socket: socket.socket, *, helo_name: str, patience: float) -> None:
        super().__init__(local_hostname=helo_name)
        self.patience = patience
        self.sent = 0  # octets of the last send() that may have left
        self.heard_at = 0.0  # monotonic, when something last arrived
        self.round_trip = float("inf")  # seconds of the fastest EHLO
        self._unread = b""
        self._timeout = 0.0
        self.sock: socket.socket = open_socket
        # An envelope is a small write behind a large one: Nagle would hold it for 40 ms.
        open_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        open_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _AHEAD)
        self._poll = select.poll()
        self._poll.register(open_socket.fileno(), select.POLLIN)

    def wrap(self, context: ssl.SSLContext, host: str) -> None:
        """Start TLS and forget everything said before it (RFC 3207 §4.2)."""
        if self._unread:
            raise GarbageReply("the relay sent more than its reply before TLS began")
        self._set_timeout(self.patience)
        self.sock = context.wrap_socket(self.sock, server_hostname=host)
        self.ehlo_resp = self.helo_resp = None
        self.esmtp_features = {}
        self.does_esmtp = False

    def send(self, s: str | bytes | bytearray | memoryview) -> None:  # type: ignore[override]
        """Write all of it. Raises OSError.

        The relay has `patience` seconds to take some more of it each time (RFC 5321 §4.5.3.2.5),
        but for the whole no longer than at the rate of _SLOWEST.
        """
        rest = memoryview(s.encode("ascii") if isinstance(s, str) else s)
        self.sent, deadline = 0, time.monotonic() + self.patience + len(rest) / _SLOWEST
        # OpenSSL says nothing of the records that left before the one that did not.
        at_once = _RECORD if isinstance(self.sock, ssl.SSLSocket) else len(rest)
        while rest:
            self._set_timeout(min(self.patience, deadline - time.monotonic()))
            count = self.sock.send(rest[:at_once])
            self.sent += count
            rest = rest[count:]

    def getreply(self) -> tuple[int, bytes]:
        """Read one reply, all its lines within `patience` seconds together: (code, text)."""
        # smtplib's own waits the time-out for each read, so that a slow drip holds it for hours.
        deadline = time.monotonic() + self.patience
        line = self._read_line(deadline)
        if line[:4] in _USUAL and len(line) <= _REPLY_LIMIT:
            return _USUAL[line[:4]], line[4:]
        code, size, texts = b"", 0, list[bytes]()
        while True:
            size += len(line)
            match = _LINE.fullmatch(line)
            if match is None or size > _REPLY_LIMIT or (code and match[1] != code):
                raise GarbageReply(f"not an SMTP reply: {line[:80]!r}")
            code = match[1]
            texts.append(match[3] or b"")
            if match[2] != b"-":
                return int(code), b"\n".join(texts)
            line = self._read_line(deadline)

    def _read_line(self, deadline: float) -> bytes:
        while (end := self._unread.find(b"\n")) < 0:
            if len(self._unread) > _REPLY_LIMIT:
                raise GarbageReply(f"an overlong reply line: {self._unread[:80]!r}")
            self._set_timeout(deadline - time.monotonic())
            received = self.sock.recv(16_384)
            if not received:
                raise ConnectionResetError("the relay closed the connection")
            self._unread += received
            self.heard_at = time.monotonic()
        line, self._unread = self._unread[:end], self._unread[end + 1 :]
        return line.rstrip(b"\r")

    @property
    def largest_message(self) -> int:
        """Octets of the largest message that the relay says it takes (RFC 1870); 0: no limit."""
        announced = self.esmtp_features.get("size", "")
        return int(announced) if _OCTETS.fullmatch(announced) else 0

    @property
    def has_more(self) -> bool:
        """Whether more was read than the replies so far."""
        return bool(self._unread)

    def has_spoken(self) -> bool:
        """Whether the relay sent something, or closed, without being asked. Never waits."""
        if self._unread:
            return True
        pending = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0
        if not pending and not self._poll.poll(0):
            return False
        self.sock.settimeout(0)
        self._timeout = 0.0
        try:
            self._unread = self.sock.recv(16_384)
            self.heard_at = time.monotonic()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False  # a TLS record without data, such as a session ticket
        except OSError:
            return True
        return True

    def _set_timeout(self, seconds: float) -> None:
        """Raises TimeoutError when there are none left. Each setting is a system call, so one
        that is a tenth off is left as it is."""
        if seconds <= 0:
            raise TimeoutError("timed out")
        if not 0.9 <= self._timeout / seconds <= 1.1:
            self.sock.settimeout(seconds)
            self._timeout = seconds
