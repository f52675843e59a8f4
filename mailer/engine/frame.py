"""The MIME frame: what is the same in every message of a run is made bytes once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import formatdate
from functools import lru_cache
from secrets import token_hex
from uuid import UUID

from mailer.engine.addresses import domain_to_ascii
from mailer.engine.attachments import EncodedFile
from mailer.engine.bodies import Entity, multipart_entity, text_entity
from mailer.engine.headers import field as header_field
from mailer.engine.headers import mailbox_field, structured_field
from mailer.engine.render import Written

# Names come from these lists and nowhere else: a name with a CRLF in it is a header injection.
FRAME_HEADERS = frozenset(
    {
        "List-Archive",
        "List-Help",
        "List-Owner",
        "List-Post",
        "Organization",
        "Precedence",
        "X-Auto-Response-Suppress",
    }
)
RECIPIENT_HEADERS = frozenset({"List-Unsubscribe", "List-Unsubscribe-Post"})


@dataclass(frozen=True, slots=True)
class FrameSpec:
    """What a run's messages have in common. `header_from` and `reply_to`: (display name, address).

    `list_id`: (ASCII phrase, "slug.domain"), RFC 2919. `headers`: names from FRAME_HEADERS.
    """

    header_from: tuple[str, str]
    message_id_domain: str
    reply_to: tuple[str, str] | None = None
    list_id: tuple[str, str] | None = None
    feedback_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def message_id(uuid: UUID, domain: str) -> str:
    """A delivery's Message-ID, angle brackets included: the same on every attempt."""
    return f"<{uuid.hex}@{domain_to_ascii(domain)}>"


def read_message_id(text: str) -> UUID | None:
    """The UUID in a Message-ID as people paste it: with or without brackets, domain or dashes."""
    try:
        return UUID(text.strip().strip("<>").partition("@")[0])
    except ValueError:
        return None


class SigningError(Exception):
    """The signer failed, or what it returned cannot be sent; says why. No recipient's fault."""


class Frame:
    """Builds the messages of one run. Threads may share it.

    `signer` gets the whole message and returns it signed. It is asked in several threads.
    """

    def __init__(
        self,
        spec: FrameSpec,
        *,
        files: Sequence[EncodedFile] = (),
        signer: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """Compile the shared headers. Raises ValueError for a value that cannot be a header."""
        self._domain = domain_to_ascii(spec.message_id_domain)
        self._signer = signer
        # Unguessable, so no body needs to be searched for it.
        token = token_hex(16).encode("ascii")
        self._alternative, self._related, self._mixed = (
            b"=_" + k + token for k in (b"a", b"r", b"m")
        )
        self._head = b"".join(_shared_fields(spec))
        self._images: list[Entity] = [([file.entity], "base64") for file in files if file.inline]
        self._files: list[Entity] = [([file.entity], "base64") for file in files if not file.inline]

    def build(
        self,
        written: Written,
        *,
        to_name: str,
        to_address: str,
        uuid: UUID,
        date: datetime,
        headers: Mapping[str, str] | None = None,
        eight_bit: bool = False,
        smtputf8: bool = False,
    ) -> bytes:
        """One message as bytes with CRLF lines, dots not stuffed.

        `headers`: names from RECIPIENT_HEADERS. `eight_bit`: the relay takes 8BITMIME, else
        quoted-printable. Raises ValueError for an address or value that cannot be written,
        SigningError.
        """
        message = b"".join(
            [
                self._head,
                mailbox_field("To", to_name, to_address, smtputf8=smtputf8),
                header_field("Subject", written.subject),
                b"Date: " + _date(date) + b"\r\n",
                b"Message-ID: " + message_id(uuid, self._domain).encode("ascii") + b"\r\n",
                *_listed_fields(headers or {}),
                *self._content(written, eight_bit=eight_bit),
            ]
        )
        # Of its own making a frame has no bare CR or LF: bodies are normalised, headers refused.
        return message if self._signer is None else _sign(message, self._signer)

    def _content(self, written: Written, *, eight_bit: bool) -> Sequence[bytes]:
        """The content's own headers and the body, in pieces."""
        entity = text_entity("plain", written.text, eight_bit=eight_bit)
        files = self._files
        if written.html is not None:
            html = text_entity("html", written.html, eight_bit=eight_bit)
            # The best comes last (RFC 2046 §5.1.4).
            entity = multipart_entity(b"alternative", [entity, html], self._alternative)
            if self._images:
                kind = b';\r\n type="multipart/alternative"'  # of its root (RFC 2387 §3.1)
                entity = multipart_entity(b"related", [entity, *self._images], self._related, kind)
        else:
            files = [*self._images, *files]  # nothing shows them
        if files:
            entity = multipart_entity(b"mixed", [entity, *files], self._mixed)
        return entity[0]


def shared_headers(spec: FrameSpec) -> dict[str, str]:
    """What a run's messages have in common beside addresses, by name; values are not checked.

    Raises ValueError for a name or a List-Id that cannot be one.
    """
    headers: dict[str, str] = {}
    if spec.list_id is not None:
        headers["List-Id"] = _list_id(*spec.list_id)
    if spec.feedback_id:
        headers["Feedback-ID"] = spec.feedback_id
    headers |= listed_headers(spec.headers, FRAME_HEADERS)
    headers["Auto-Submitted"] = "auto-generated"
    return headers


def listed_headers(headers: Mapping[str, str], allowed: frozenset[str]) -> Mapping[str, str]:
    """The headers as they are. Raises ValueError for a name that is not allowed."""
    for name in headers:
        if name not in allowed:
            raise ValueError(f"{name[:60]!r} is not a header that may be set here")
    return headers


def _shared_fields(spec: FrameSpec) -> list[bytes]:
    fields = [mailbox_field("From", *spec.header_from)]
    if spec.reply_to is not None:
        fields.append(mailbox_field("Reply-To", *spec.reply_to))
    fields += [structured_field(name, value) for name, value in shared_headers(spec).items()]
    fields.append(b"MIME-Version: 1.0\r\n")
    return fields


def _list_id(phrase: str, identifier: str) -> str:
    if not phrase.isascii() or any(c in phrase for c in '"\\<>'):
        raise ValueError("List-Id: the phrase must be plain ASCII without quotes or brackets")
    quoted = f'"{phrase}" ' if phrase else ""
    return f"{quoted}<{domain_to_ascii(identifier)}>"


def _listed_fields(headers: Mapping[str, str]) -> list[bytes]:
    listed = listed_headers(headers, RECIPIENT_HEADERS)
    return [structured_field(name, value) for name, value in listed.items()]


def _sign(message: bytes, signer: Callable[[bytes], bytes]) -> bytes:
    try:
        signed = signer(message)
    except (Exception, SystemExit) as error:
        raise SigningError(f"{type(error).__name__}: {error}") from error
    if not isinstance(signed, bytes):
        raise SigningError(f"the signer returned {type(signed).__name__}, not bytes")
    # To some servers a lone CR or LF ends a line, and so may end a message: "SMTP smuggling".
    if not signed.count(b"\r") == signed.count(b"\n") == signed.count(b"\r\n"):
        raise SigningError("the signed message holds a CR or LF that is not part of a CRLF")
    if not _named(message) <= _named(signed):
        raise SigningError("what the signer returned is not the message: no From, no Message-ID")
    return signed


def _named(message: bytes) -> set[bytes]:
    """The first lines of From and Message-ID."""
    lines = message.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return {line for line in lines if line.startswith((b"From:", b"Message-ID:"))}


def _date(date: datetime) -> bytes:
    if date.tzinfo is None:
        raise ValueError("Date: the time needs a zone")
    return _date_of_second(int(date.timestamp()))


@lru_cache(maxsize=16)
def _date_of_second(timestamp: int) -> bytes:
    return formatdate(timestamp).replace("-0000", "+0000").encode("ascii")
