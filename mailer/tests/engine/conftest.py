"""What the engine's tests share: a server, a relay that points at it, a frame, a renderer."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailer.engine.frame import Frame, FrameSpec
from mailer.engine.relay import RelayAddress
from mailer.engine.render import Content, compile_content
from mailer.engine.sender import Composer, Outgoing, Sender
from mailer.tests.engine.scripted_smtp import ScriptedSMTP

NOW = dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC)

Serve = Callable[..., ScriptedSMTP]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(script: dict[str, object] | None = None, **options: object) -> ScriptedSMTP:
            return stack.enter_context(ScriptedSMTP(script or {}, **options))  # type: ignore[arg-type]

        yield start


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    today = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture(scope="session")
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def relay_to(server: ScriptedSMTP, **changes: object) -> RelayAddress:
    """A relay address for the server, with time-outs short enough for tests."""
    settings: dict[str, object] = {
        "security": "none",
        "connect_timeout": 2.0,
        "command_timeout": 2.0,
        "final_timeout": 2.0,
        **changes,
    }
    return RelayAddress("127.0.0.1", server.port, **settings)  # type: ignore[arg-type]


def outgoing(seq: int = 1, **changes: object) -> Outgoing:
    settings: dict[str, object] = {
        "address": f"r{seq}@example.org",
        "name": f"Recipient {seq}",
        "variables": {"name": f"R{seq}"},
        **changes,
    }
    return Outgoing(seq, UUID(int=seq), **settings)  # type: ignore[arg-type]


def sender_to(relay: RelayAddress, **changes: object) -> Sender:
    frame = Frame(
        FrameSpec(("News", "news@example.com"), "example.com"),
        signer=changes.pop("signer", None),  # type: ignore[arg-type]
    )
    renderer = compile_content(
        Content("Hello {{ name }}", "<p>Dear {{ name }}</p>", "Dear {{ name }}")
    )
    envelope_sender = changes.pop(
        "envelope_sender", lambda message: f"bounces+{message.seq}@example.com"
    )
    composer = Composer(
        frame,
        renderer,
        envelope_sender=envelope_sender,  # type: ignore[arg-type]
        clock=lambda: NOW,
    )
    return Sender(relay, composer, **changes)  # type: ignore[arg-type]
