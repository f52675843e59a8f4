"""An SMTP server that misbehaves to order and remembers what it accepted."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

DROP = b"<drop>"  # instead of a reply: close
HANG = b"<hang>"  # instead of a reply: say nothing until released

CHUNKING = b"250-scripted.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME"

Answer = bytes | Callable[[bytes, int], bytes]  # a reply, or what makes one of (line, how many)

_USUAL: Mapping[str, bytes] = {
    "connect": b"220 scripted.test ESMTP",
    "ehlo": b"250-scripted.test\r\n250-PIPELINING\r\n250 8BITMIME",
    "helo": b"250 scripted.test",
    "starttls": b"220 2.0.0 go ahead",
    "auth": b"235 2.7.0 welcome",
    "mail": b"250 2.1.0 ok",
    "rcpt": b"250 2.1.5 ok",
    "data": b"354 go ahead",
    "body": b"",  # said before the final dot has come
    "bdat": b"250 2.0.0 octets received",  # to a chunk that is not the last
    "dot": b"250 2.0.0 queued",  # and to the last
    "rset": b"250 2.0.0 flushed",
    "quit": b"221 2.0.0 bye",
    "other": b"500 5.5.2 not known",
}


@dataclass
class Accepted:
    """A message that was answered 2xx, or whose answer was cut off on purpose after the dot."""

    envelope_sender: str
    recipient: str
    data: bytes


@dataclass
class ScriptedSMTP:
    """Listens on a free port; `script` replaces replies by command, DROP and HANG included."""

    script: dict[str, Answer] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    accepts_dropped: bool = True  # whether a message counts as accepted if the reply is withheld
    speaks_bdat: bool = True  # else it takes what follows one for commands
    lingers: bool = True  # else a close may cost replies that are on their way (TCP's RST)
    hangs_up: bool = True  # after a 421
    reads: int = 0  # octets at a time, fifty times a second; 0: as they come
    forgets: bool = False  # throws away what comes behind a text
    data_to_nobody: bool = False  # answers 354 where every recipient was refused (RFC 2920 §3.1)

    def __post_init__(self) -> None:
        self.accepted: list[Accepted] = []
        self.commands: list[str] = []
        self.connections = 0
        self.counts: dict[str, int] = {}
        self.release = threading.Event()
        self.closed_one = threading.Event()
        self.reading = threading.Event()  # a text, with `reads`
        self._listener = socket.create_server(("127.0.0.1", 0))
        if self.reads:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        thread = threading.Thread(target=self._listen, daemon=True)
        thread.start()
        self._threads.append(thread)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        for thread in self._threads:
            thread.join(5)

    def drop_connections(self) -> None:
        """Close every open connection, as an idle relay does."""
        for client in self._open:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        self._open.append(client)
        try:
            if self.implicit_tls and self.tls:
                client = self.tls.wrap_socket(client, server_side=True)
                self._open.append(client)
            _Session(self, client).run()
            if self.lingers:
                client.shutdown(socket.SHUT_WR)
                client.settimeout(2)
                while client.recv(65_536):
                    pass
        except OSError:
            pass
        finally:
            client.close()
            self.closed_one.set()

    def answer(self, command: str, line: bytes) -> bytes:
        """The scripted or the usual reply to a command."""
        if command not in _USUAL:
            command = "other"
        self.counts[command] = self.counts.get(command, 0) + 1
        scripted = self.script.get(command, _USUAL[command])
        return scripted if isinstance(scripted, bytes) else scripted(line, self.counts[command])


class _SlowFile(io.RawIOBase):
    def __init__(self, server: ScriptedSMTP, client: socket.socket) -> None:
        self._server = server
        self._client = client

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._client.recv_into(buffer)
        if count == len(buffer):  # more than a command
            self._server.reading.set()
            self._server.release.wait(0.02)
        return count


class _Session:
    chunks = b""  # of the text so far

    def __init__(self, server: ScriptedSMTP, client: socket.socket) -> None:
        self.server = server
        self.client = client
        self.file = client.makefile("rb")
        if server.reads:
            self.file = io.BufferedReader(_SlowFile(server, client), server.reads)
        self.mail = self.rcpt = ""

    def run(self) -> None:
        if not self.say("connect"):
            return
        while line := self.file.readline():
            words = line.decode("utf-8").strip()
            command = words.split(" ")[0].lower()
            self.server.commands.append(words)
            if command == "bdat" and self.server.speaks_bdat:
                if not self.take_chunk(words):
                    return
                continue
            if self.is_out_of_turn(command):
                self.client.sendall(b"503 5.5.1 bad sequence of commands\r\n")
                continue
            if command in {"mail", "rcpt"}:
                setattr(self, command, words)
            elif command in {"rset", "ehlo"}:
                self.mail, self.rcpt, self.chunks = "", "", b""
            if not self.say(command, line):
                return
            if command == "starttls" and self.last.startswith(b"220"):
                assert self.server.tls is not None
                self.client = self.server.tls.wrap_socket(self.client, server_side=True)
                self.server._open.append(self.client)
                self.file = self.client.makefile("rb")
            if command in {"mail", "rcpt"} and self.last and not self.last.startswith(b"2"):
                setattr(self, command, "")
            if command == "data" and self.last.startswith(b"354") and not self.take_message():
                return
            if command == "quit":
                return

    def is_out_of_turn(self, command: str) -> bool:
        if command == "mail":
            return bool(self.mail)  # nested: the client forgot its RSET
        if command == "rcpt":
            return not self.mail
        return command == "data" and not self.rcpt and not self.server.data_to_nobody

    def say(self, command: str, line: bytes = b"") -> bool:
        """Answer a command; False where the connection is to end."""
        return self.reply(self.server.answer(command, line))

    def reply(self, answer: bytes) -> bool:
        self.last = answer
        if answer == HANG:
            self.server.release.wait(10)
        if answer in {HANG, DROP}:
            return False
        if answer:
            self.client.sendall(answer + b"\r\n")
        return not (self.server.hangs_up and answer.startswith(b"421"))

    def take_message(self) -> bool:
        early = self.server.script.get("body")
        if early is not None:
            self.file.readline()
            return self.say("body")
        lines = list[bytes]()
        while (line := self.file.readline()) != b".\r\n":
            if not line:
                return False
            lines.append(line.removeprefix(b"."))
        return self.conclude(b"".join(lines))

    def take_chunk(self, words: str) -> bool:
        """Read as many octets as announced (RFC 3030 §2), whatever is said about them then."""
        _, octets, *last = words.split()
        data = self.file.read(int(octets))
        if len(data) < int(octets):
            return False
        if not self.rcpt:
            return self.reply(b"503 5.5.1 no valid recipients")
        self.chunks += data
        if last and self.server.forgets:
            self.file.read(len(self.file.peek()))
        return self.conclude(self.chunks) if last else self.say("bdat")

    def conclude(self, data: bytes) -> bool:
        self.chunks = b""
        if not self.rcpt:
            self.mail = ""
            return self.reply(b"554 5.5.1 no valid recipients")
        sender, recipient = self.mail.split("<")[1], self.rcpt.split("<")[1]
        message = Accepted(sender.split(">")[0], recipient.split(">")[0], data)
        self.mail = self.rcpt = ""
        answer = self.server.answer("dot", data)
        withheld = not answer[:1].isdigit()
        forgotten = answer == b""  # it goes on as if it had answered
        if answer.startswith(b"2") or forgotten or (withheld and self.server.accepts_dropped):
            self.server.accepted.append(message)
        return self.reply(answer)
