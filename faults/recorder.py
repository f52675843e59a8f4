"""A relay that remembers: `python -m faults.recorder PORT FILE`, started by faults.relay.

Every message it accepts is a line of FILE, written before the reply goes out; so what was accepted
is known whoever is killed afterwards, and how it came: by DATA, or in chunks (RFC 3030). How it
behaves is told on standard input, a line of JSON each time, and answered with a line; a line more
says that a connection is being held. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field

_MESSAGE_ID = re.compile(rb"(?mi)^Message-ID: *(\S+)\r$")
_PATH = re.compile(rb"<([^>]*)>")
_LONGEST_TEXT = 8_000_000  # octets
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset
# A text of any length has to wait for being read: who resets in the middle of it resets in time.
_SEGMENT, _BUFFER = 536, 4096  # octets
_EHLO = "250-recorder\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES"
_CHUNKING = "250-recorder\r\n250-CHUNKING\r\n"
_ACCEPTED = "250 2.0.0 accepted"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What is out of the ordinary. The steps of a message, in their order:

    mail, rcpt, data: the command is there, its reply is not · body: the text has begun · dot: all
    of it is there · accepted: it is written down, and the reply is still to come · followed (for
    resets): so it is, and the next message has begun to come. In chunks, data is the first BDAT,
    and dot the end of the last.
    """

    #: What holds for a connection from its start to its end: BDAT is offered and taken, and ...
    chunking: bool = False
    #: ... each reply arrives so many seconds after it was given, as over a long line: many are on
    #: their way at a time.
    distance: float = 0.0

    delay: float = 0.0  # seconds between writing down and replying
    #: Step (mail, rcpt, data, dot) → the reply to everybody.
    replies: dict[str, str] = field(default_factory=dict)
    #: Address → the reply to its first RCPT.
    first_replies: dict[str, str] = field(default_factory=dict)
    #: Address → the step at which its first connection is reset.
    resets: dict[str, str] = field(default_factory=dict)
    #: Address → the step at which its first connection falls silent for good.
    silences: dict[str, str] = field(default_factory=dict)
    #: The step at which one connection is held until the next behaviour ...
    hold_at: str = ""
    #: ... after so many others passed it.
    hold_after: int = 0


class Recorder:
    """What its connections share."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.behaviour = Behaviour()
        self._changed = asyncio.Event()
        self._passed = 0
        self._done: set[tuple[str, str]] = set()

    def behave(self, behaviour: Behaviour) -> None:
        self.behaviour, self._passed = behaviour, 0
        self._changed.set()
        self._changed = asyncio.Event()
        say_to_starter("behaves")

    def write_down(self, address: str, text: bytes, **how: object) -> None:
        found = _MESSAGE_ID.search(text)
        message_id = found[1].decode() if found else ""
        entry = {"at": time.time(), "address": address, "message_id": message_id, **how}
        os.write(self._file, json.dumps(entry).encode() + b"\n")

    def is_first(self, what: str, address: str) -> bool:
        first = (what, address) not in self._done
        self._done.add((what, address))
        return first

    async def hold(self, step: str) -> None:
        """Wait for the next behaviour, if it is this connection's turn to be held."""
        if self.behaviour.hold_at != step:
            return
        self._passed += 1
        if self._passed == self.behaviour.hold_after + 1:
            say_to_starter("holds")
            await self._changed.wait()


class Connection:
    """One client, from its greeting on."""

    def __init__(
        self, recorder: Recorder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._recorder, self._reader, self._writer = recorder, reader, writer
        self._chunking = recorder.behaviour.chunking
        self._distance = recorder.behaviour.distance
        self._address = ""
        self._chunks = b""  # of the text so far
        self._unanswered = 0  # accepted, with the reply still on its way
        self._parts = False  # it said 221 or 421

    async def serve(self) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._talk()
                await self._part()
        finally:
            self._writer.transport.abort()

    async def _talk(self) -> None:
        await self._say("220 recorder ESMTP")
        while not self._parts and (line := await self._reader.readline()):
            verb = line[:4].upper().decode("ascii", "replace").strip()
            match verb:
                case "EHLO":
                    offer = _EHLO.replace("250-recorder\r\n", _CHUNKING)
                    await self._say(offer if self._chunking else _EHLO)
                case "MAIL":
                    await self._reach("mail")
                    await self._say(self._recorder.behaviour.replies.get("mail", "250 2.1.0 OK"))
                case "RCPT":
                    await self._hear_recipient(line)
                case "DATA":
                    await self._hear_text()
                case "BDAT" if self._chunking:
                    await self._hear_chunk(line)
                case "QUIT":
                    await self._say("221 2.0.0 bye")
                case _:
                    self._address, self._chunks = "", b""
                    await self._say("250 2.0.0 OK")

    async def _hear_recipient(self, line: bytes) -> None:
        found = _PATH.search(line)
        self._address = found[1].decode() if found else ""
        await self._reach("rcpt")
        behaviour = self._recorder.behaviour
        reply = behaviour.replies.get("rcpt", "")
        if not reply and self._recorder.is_first("reply", self._address):
            reply = behaviour.first_replies.get(self._address, "")
        if reply:
            self._address = ""
        await self._say(reply or "250 2.1.5 OK")

    async def _hear_text(self) -> None:
        if not self._address:
            await self._say("554 5.5.1 no valid recipients")
            return
        await self._reach("data")
        if reply := self._recorder.behaviour.replies.get("data"):
            self._address = ""
            await self._say(reply)
            return
        await self._say("354 go on")
        first = await self._reader.readline()
        await self._reach("body")
        text = first + await self._reader.readuntil(b"\r\n.\r\n")
        await self._conclude(text)

    async def _hear_chunk(self, line: bytes) -> None:
        """All its octets are read, whatever is said about them (RFC 3030 §2)."""
        _, octets, *last = line.split()
        begins = bool(self._address) and not self._chunks
        if begins:
            await self._reach("data")
        chunk = await self._reader.readexactly(1)
        if begins:
            await self._reach("body")
        chunk += await self._reader.readexactly(int(octets) - 1)
        reply = self._recorder.behaviour.replies.get("data", "") if begins else ""
        if reply or not self._address:  # one that was refused before, and the chunks behind it
            self._address = ""
            await self._say(reply or "503 5.5.1 no valid recipients")
            return
        self._chunks += chunk
        if last:
            await self._conclude(self._chunks, chunked=True)
        else:
            await self._say("250 2.0.0 go on")

    async def _conclude(self, text: bytes, *, chunked: bool = False) -> None:
        await self._reach("dot")
        reply = self._recorder.behaviour.replies.get("dot")
        if not reply:
            self._recorder.write_down(
                self._address, text, chunked=chunked, unanswered=self._unanswered
            )
            self._unanswered += 1
            await self._reach("accepted")
            if self._recorder.behaviour.resets.get(self._address) == "followed":
                await self._reader.readexactly(1)
                await self._reach("followed")
            await asyncio.sleep(self._recorder.behaviour.delay)
        self._address, self._chunks = "", b""
        await self._say(reply or _ACCEPTED)

    async def _reach(self, step: str) -> None:
        """Do what was asked for at this step. Raises ConnectionError where the talk is over."""
        behaviour, address = self._recorder.behaviour, self._address
        if behaviour.resets.get(address) == step and self._recorder.is_first("reset", address):
            self._writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET
            )
            raise ConnectionResetError
        if behaviour.silences.get(address) == step and self._recorder.is_first("silence", address):
            await self._reader.read()  # until the client has had enough
            raise ConnectionResetError
        await self._recorder.hold(step)

    async def _say(self, reply: str) -> None:
        self._parts = reply.startswith(("221", "421"))
        if self._distance:
            asyncio.get_running_loop().call_later(self._distance, self._arrive, reply)
        else:
            self._arrive(reply)
        await self._writer.drain()

    def _arrive(self, reply: str) -> None:
        if reply == _ACCEPTED:
            self._unanswered -= 1
        if not self._writer.is_closing():
            self._writer.write(reply.encode() + b"\r\n")

    async def _part(self) -> None:
        """Close behind the last reply. Not before the client does: octets that nobody reads would
        make a reset of it, which overtakes replies."""
        await asyncio.sleep(self._distance)
        self._writer.write_eof()
        await self._reader.read()


def say_to_starter(word: str) -> None:
    print(word, flush=True)


async def main(port: int, path: str) -> None:
    recorder = Recorder(path)
    # Named as TCP: asyncio sends small replies at once only where it knows that it is.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT)
    listener.bind(("127.0.0.1", port))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):  # the suite has ended
            await Connection(recorder, reader, writer).serve()

    await asyncio.start_server(serve, sock=listener, limit=_LONGEST_TEXT)
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    say_to_starter("listens")
    while line := await lines.readline():
        recorder.behave(Behaviour(**json.loads(line)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
