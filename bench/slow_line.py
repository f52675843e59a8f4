"""A slow line: `python -m bench.slow_line PORT TARGET_PORT SECONDS`, half of them each way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bench.postfix import listens
from tests.system.inbox import free_port
from tests.system.processes import wait_until


@contextmanager
def slow_line(target: int, *, round_trip: float) -> Iterator[int]:
    """A port that leads to `target`; what goes there and back takes `round_trip` seconds more."""
    port = free_port()
    command = [sys.executable, "-m", "bench.slow_line", str(port), str(target), str(round_trip)]
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: listens(port), what="the slow line listens", seconds=10)
            yield port
        finally:
            process.terminate()


async def main(port: int, target: int, round_trip: float) -> None:
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        clock = asyncio.get_running_loop().time

        async def arrive() -> None:
            while True:
                at, data = await under_way.get()
                await asyncio.sleep(max(0.0, at - clock()))
                if not data:
                    writer.close()
                    return
                writer.write(data)
                await writer.drain()

        arriving = asyncio.create_task(arrive())
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                under_way.put_nowait((clock() + round_trip / 2, data))
        under_way.put_nowait((clock() + round_trip / 2, b""))
        with suppress(ConnectionError):
            await arriving

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(carry(reader, back), carry(there, writer))

    server = await asyncio.start_server(connect, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
