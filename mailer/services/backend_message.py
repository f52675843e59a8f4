"""A message as Django's e-mail backends take it, with what the engine's frame has, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email import message_from_bytes
from email.headerregistry import Address
from email.mime.base import MIMEBase

from django.core.mail import EmailMultiAlternatives

from mailer.engine.addresses import AddressError, wire_address
from mailer.engine.attachments import EncodedFile
from mailer.engine.composer import CannotComposeError, Outgoing
from mailer.engine.frame import (
    RECIPIENT_HEADERS,
    FrameSpec,
    listed_headers,
    message_id,
    shared_headers,
)
from mailer.engine.headers import field, mailbox_field, structured_field
from mailer.engine.render import Rendered, Renderer, TemplateProblem


class BackendComposer:
    """Writes the messages of one run. Threads may share it."""

    def __init__(
        self,
        spec: FrameSpec,
        renderer: Renderer,
        *,
        files: Sequence[MIMEBase] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Raises ValueError for a value that cannot be a header."""
        self.clock = clock
        self._renderer = renderer
        self._files = files
        self._domain = spec.message_id_domain
        self._header_from = _mailbox("From", *spec.header_from)
        self._reply_to = [_mailbox("Reply-To", *spec.reply_to)] if spec.reply_to else []
        self._headers = shared_headers(spec)
        # Only images: then they belong to the text, and are no files to be listed below it.
        self._related = bool(files) and all(file["Content-ID"] for file in files)

    def compose(self, message: Outgoing) -> EmailMultiAlternatives:
        """Render and address. Raises CannotComposeError."""
        try:
            return self._write(message, self._renderer.render(message.variables))
        except TemplateProblem as error:
            raise CannotComposeError(f"template: {error.reason}", str(error)) from error
        except AddressError as error:
            raise CannotComposeError(f"address: {error}", str(error)) from error
        except ValueError as error:
            raise CannotComposeError(f"message: {error}", str(error)) from error

    def _write(self, message: Outgoing, rendered: Rendered) -> EmailMultiAlternatives:
        headers = {
            "Message-ID": message_id(message.uuid, self._domain),
            **self._headers,
            **listed_headers(message.headers, RECIPIENT_HEADERS),
        }
        # What would be refused while it is being sent would leave the message in doubt.
        field("Subject", rendered.subject)
        for name, value in headers.items():
            structured_field(name, value)
        mail = EmailMultiAlternatives(
            rendered.subject,
            _plain_lines(rendered.text),
            self._header_from,
            [_mailbox("To", message.name, message.address)],
            attachments=self._files,
            headers=headers,
            reply_to=self._reply_to,
        )
        if rendered.html:
            mail.attach_alternative(_plain_lines(rendered.html), "text/html")
            if self._related:
                mail.mixed_subtype = "related"  # type: ignore[attr-defined]  # the stubs lack it
        return mail


def as_attachment(file: EncodedFile) -> MIMEBase:
    """The same entity as Django takes it."""
    entity = message_from_bytes(file.entity)
    part = MIMEBase(entity.get_content_maintype(), entity.get_content_subtype())
    for name in ("Content-Type", "MIME-Version"):
        del part[name]
    for name, value in entity.items():
        part[name] = value
    part.set_payload(entity.get_payload())
    return part


def _mailbox(header: str, name: str, address: str) -> str:
    """A name, quoted where it must be, and the address with its domain as IDNA 2008 has it.

    Django would write the domain by IDNA 2003, which is another one for some. Raises ValueError.
    """
    mailbox_field(header, name, address)
    return str(Address(name.strip(), addr_spec=wire_address(address)))


def _plain_lines(text: str) -> str:
    """Lines as backends expect them; templates are compiled with the wire's."""
    return text.replace("\r\n", "\n")
