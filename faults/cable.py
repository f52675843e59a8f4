"""The line to a server: whoever is told of the cable instead can be cut off from it."""

import socket
import socketserver
import threading
from contextlib import suppress
from urllib.parse import urlsplit


class Cable:
    """A TCP port that leads to another; it can be cut, and mended."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 0)
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()
        self._cut = threading.Event()
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = parts._replace(
            netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{self._server.server_address[1]}"
        ).geturl()

    def __enter__(self) -> "Cable":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._server.shutdown()
        self._server.server_close()

    def cut(self) -> None:
        """End every connection, and any new one at once."""
        self._cut.set()
        with self._lock:
            for end in self._ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self._ends.clear()

    def mend(self) -> None:
        self._cut.clear()

    def _handler(self) -> type[socketserver.BaseRequestHandler]:
        cable = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                if cable._cut.is_set():
                    return
                with socket.create_connection(cable._target, timeout=10) as there:
                    there.settimeout(None)
                    with cable._lock:
                        cable._ends += [self.request, there]
                    if cable._cut.is_set():
                        return
                    back = threading.Thread(target=_carry, args=(there, self.request), daemon=True)
                    back.start()
                    _carry(self.request, there)
                    back.join()

        return Handler


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
