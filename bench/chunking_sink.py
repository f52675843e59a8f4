"""A relay with CHUNKING, which smtp-sink lacks: `python -m bench.chunking_sink PORT`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.postfix import listens
from tests.system.inbox import free_port
from tests.system.processes import wait_until

REPLIES = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n",
    b"DATA": b"354 go ahead\r\n",
    b"QUIT": b"221 bye\r\n",
}
OK = b"250 2.0.0 ok\r\n"


@contextmanager
def chunking_sink() -> Iterator[int]:
    """The sink on a free port."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "bench.chunking_sink", str(port)]) as process:
        try:
            wait_until(lambda: listens(port), what="the sink listens", seconds=10)
            yield port
        finally:
            process.terminate()


class Sink(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.unread = b""
        self.skip = 0  # octets of a chunk that are still to come
        self.in_text = False
        self.say(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self.unread += data
        said = []
        while reply := self.next_reply():
            said.append(reply)
        self.say(b"".join(said))

    def next_reply(self) -> bytes:
        """The reply to what has come in whole; empty where nothing has."""
        if self.skip:
            if len(self.unread) < self.skip:
                return b""
            self.unread, self.skip = self.unread[self.skip :], 0
            return OK
        before, end, after = self.unread.partition(b"\r\n.\r\n" if self.in_text else b"\r\n")
        if not end:
            return b""
        self.unread = after
        if self.in_text:
            self.in_text = False
            return OK
        word = before[:4].upper()
        if word == b"BDAT":
            self.skip = int(before.split()[1])
            return self.next_reply()
        self.in_text = word == b"DATA"
        return REPLIES.get(word, OK)

    def say(self, reply: bytes) -> None:
        if reply and isinstance(self.transport, asyncio.Transport):
            self.transport.write(reply)


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
