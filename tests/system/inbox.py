"""A real SMTP server that records what it accepted and answers some addresses as it is told."""

import email
import socket
import threading
from collections import Counter
from collections.abc import Callable
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

#: Gets the address and how often it was tried before; gives a reply, or "" to accept.
Answer = Callable[[str, int], str]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Inbox:
    """`accepted`: (address, Message-ID) in order; `answer` may be set at any time."""

    def __init__(self) -> None:
        self.accepted: list[tuple[str, str]] = []
        self.messages: list[Any] = []
        self.goodbyes = 0  # clients that said QUIT
        self.answer: Answer = lambda _address, _before: ""
        self.before_reply: Callable[[str], None] = lambda _address: None
        self._tried: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self._port, ready_timeout=30)

    def __enter__(self) -> "Inbox":
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self._port}"

    @property
    def addresses(self) -> list[str]:
        return [address for address, _id in self.accepted]

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        with self._lock:
            before = self._tried[address]
            self._tried[address] += 1
        if reply := self.answer(address, before):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_QUIT(  # noqa: N802
        self, _server: SMTP, _session: Session, _envelope: Envelope
    ) -> str:
        self.goodbyes += 1
        return "221 Bye"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        assert len(envelope.rcpt_tos) == 1  # never strangers in one transaction
        message = email.message_from_bytes(envelope.content, policy=default)
        with self._lock:
            self.accepted.append((envelope.rcpt_tos[0], message["Message-ID"]))
            self.messages.append(message)
        self.before_reply(envelope.rcpt_tos[0])
        return "250 OK"
