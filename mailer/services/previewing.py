"""What a version of a message looks like to somebody, before anybody gets it."""

import base64
from dataclasses import dataclass

from django.conf import settings

from mailer.engine.preflight import render_bounded
from mailer.engine.render import placeholders
from mailer.models import MessageVersion, Recipient

from .audience import recipients_of
from .content import content_id, content_of, variables_of, variables_of_stranger


@dataclass(frozen=True, slots=True)
class Preview:
    """One person's message. `html` is "" in a text-only one; inline images are within it."""

    subject: str
    html: str
    text: str


def preview_message(version: MessageVersion, recipient: Recipient | None) -> Preview:
    """Render in a child with bounded memory and time; for nobody, with placeholders' names.

    Raises TemplateProblem, which names the part, the line and the reason.
    """
    variables = variables_of(recipient) if recipient else _examples(version)
    rendered = render_bounded(content_of(version), variables)
    return Preview(rendered.subject, _with_images(rendered.html, version), rendered.text)


def somebody_for(version: MessageVersion) -> Recipient | None:
    """The first person that the newest mailing with this message goes to, if there is one."""
    mailings = version.message.mailing_set.filter(is_single=False)
    mailing = mailings.order_by("-pk").first()
    return recipients_of(mailing).order_by("pk").first() if mailing else None


def _examples(version: MessageVersion) -> dict[str, object]:
    """Each placeholder as its own name in brackets."""
    sources = (version.subject, version.html, version.text)
    named = {name: f"[{name}]" for source in sources for name in placeholders(source)}
    return {**variables_of_stranger(f"somebody@{settings.MAIL_DOMAIN}"), **named}


def _with_images(html: str, version: MessageVersion) -> str:
    """The frame that shows it may load nothing, so images become part of it."""
    if not html:
        return html
    for file in version.files.exclude(image_name="").select_related("stored"):
        octets = base64.b64encode(bytes(file.stored.octets)).decode("ascii")
        cid = f"cid:{content_id(file.image_name, file.stored_id)}"
        html = html.replace(cid, f"data:{file.content_type};base64,{octets}")
    return html
