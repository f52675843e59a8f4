"""A signature made by dkimpy through the hook holds for what the relay got."""

from __future__ import annotations

from dataclasses import replace

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mailer.engine.attachments import Attachment, encode_file
from mailer.engine.frame import Frame, FrameSpec
from mailer.engine.render import Content, compile_content
from mailer.engine.sender import Composer, Outcome, Outgoing, Result, Sender
from mailer.tests.engine.conftest import NOW, Serve, outgoing, relay_to
from mailer.tests.engine.scripted_smtp import ScriptedSMTP
from mailer.tests.engine.test_frame import UNSUBSCRIBE

SIGNED = (
    *(b"From", b"To", b"Subject", b"Date", b"Message-ID", b"MIME-Version", b"Content-Type"),
    *(b"Content-Transfer-Encoding", b"List-Id", b"List-Unsubscribe", b"List-Unsubscribe-Post"),
)
TEXT = ".\n..two\n. \ntrailing \t\n\n.Grüße an {{ name }}, 繁體中文\n"
WITHOUT_8BITMIME = b"250-scripted.test\r\n250 PIPELINING"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def send(server: ScriptedSMTP, key: rsa.RSAPrivateKey, *files: Attachment) -> None:
    """Three messages with everything in them, signed through the hook."""
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )

    def sign(message: bytes) -> bytes:
        return (
            dkim.sign(
                message,
                b"mail",
                b"example.com",
                pem,
                canonicalize=(b"relaxed", b"simple"),
                include_headers=list(SIGNED),
            )
            + message
        )

    frame = Frame(
        FrameSpec(("Müller", "news@example.com"), "example.com", list_id=("News", "n.example.com")),
        files=[encode_file(file) for file in files],
        signer=sign,
    )
    renderer = compile_content(Content("Grüße, {{ name }}", f"<p>{TEXT}</p>", TEXT))
    composer = Composer(
        frame, renderer, envelope_sender=lambda _: "bounce@example.com", clock=lambda: NOW
    )
    results: list[Result] = []
    messages: list[Outgoing] = [replace(outgoing(n), headers=UNSUBSCRIBE) for n in (1, 2, 3)]
    with Sender(relay_to(server), composer) as sender:
        sender.send(messages, results, may_continue=lambda: True)
    assert [result.outcome for result in results] == [Outcome.SENT] * 3


def holds(message: bytes, key: rsa.RSAPrivateKey) -> bool:
    """Whether the signature is right, by the public key as DNS would give it."""
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    record = b"v=DKIM1; k=rsa; p=" + b"".join(public.splitlines()[1:-1])

    def look_up(name: bytes, timeout: int = 5) -> bytes:
        assert name == b"mail._domainkey.example.com."
        return record

    right: bool = dkim.verify(message, dnsfunc=look_up)
    return right


@pytest.mark.parametrize("ehlo", [None, WITHOUT_8BITMIME])
@pytest.mark.parametrize("files", [(), (Attachment("報告.pdf", "application/pdf", b"%PDF" * 99),)])
def test_what_arrived_is_signed(
    serve: Serve, key: rsa.RSAPrivateKey, ehlo: bytes | None, files: tuple[Attachment, ...]
) -> None:
    server = serve({"ehlo": ehlo} if ehlo else {})
    send(server, key, *files)
    for accepted in server.accepted:
        assert holds(accepted.data, key)
        assert accepted.data.isascii() == (ehlo is not None)  # 8bit, or quoted-printable
    assert any(line.startswith("MAIL") and "8BIT" in line for line in server.commands) != bool(ehlo)
    assert ehlo or b"\r\n.\r\n..two\r\n. \r\n" in server.accepted[0].data


def test_the_signature_covers_both_unsubscribe_headers(
    serve: Serve, key: rsa.RSAPrivateKey
) -> None:
    server = serve()
    send(server, key)
    data = server.accepted[0].data
    signature = b"".join(data.split(b"\r\nFrom: ")[0].split()).lower()
    named = signature.split(b";h=")[1].split(b";")[0].split(b":")
    assert {b"list-unsubscribe", b"list-unsubscribe-post"} <= set(named)
    for old, new in (
        (b"<https://mail.example.com/u/", b"<https://evil.example/u/"),
        (b"List-Unsubscribe=One-Click", b"List-Unsubscribe=Two-Clicks"),
        (b"\r\n..two", b"\r\n.two"),
    ):
        assert old in data
        assert not holds(data.replace(old, new), key)
