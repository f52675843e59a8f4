"""A message version as the engine needs it: templates compiled, the MIME frame built."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from email.mime.base import MIMEBase
from functools import lru_cache

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from mailer.engine.attachments import Attachment, EncodedFile, encode_file
from mailer.engine.frame import Frame, FrameSpec
from mailer.engine.kept import KeptConnections
from mailer.engine.pace import Pace
from mailer.engine.preflight import LimitReached, render_bounded
from mailer.engine.render import Content, Renderer, TemplateProblem, compile_content
from mailer.engine.sender import Composer, Sender
from mailer.exceptions import NotPossible
from mailer.models import MessageVersion, Recipient, Relay, Run, StoredFile
from mailer.states import SubscriptionState

from .backend_message import BackendComposer, as_attachment
from .backend_sender import BackendSender
from .inline_images import with_content_ids
from .relays import relay_address
from .reserving import STRETCH

#: The sender's part of Feedback-ID, 5 to 15 characters, the same for all mail (Gmail).
FEEDBACK_SENDER = "mailroom"

_kept = KeptConnections()
_compiled = lru_cache(maxsize=8)(compile_content)  # batch after batch sends the same


def open_sender(run: Run, relay: Relay, *, processes: int) -> Sender | BackendSender:
    """A sender for this run's frozen content; use it in a with statement.

    So many processes share the relay's connections evenly, as far as it has places for their
    batches. Where there are not enough for all, none is kept from batch to batch: an idle one would
    be one too many.
    """
    version = run.message_version
    if version is None:
        raise NotPossible(_("Run %(run)s has no content.") % {"run": run.pk})
    spec, renderer = run_frame(run, version), _compiled(content_of(version))
    connections = max(1, relay.connections // max(1, min(processes, relay.places)))
    if relay.kind == Relay.Kind.BACKEND:
        return open_backend(relay, version, spec, renderer, connections=connections)
    return Sender(
        relay_address(relay),
        Composer(
            make_frame(spec, version),
            renderer,
            envelope_sender=lambda _message: version.from_address,
        ),
        connections=connections,
        pace=_pace(relay),
        kept=_kept if processes <= relay.places else None,
        suspect=relay.is_suspect,
    )


def open_backend(
    relay: Relay,
    version: MessageVersion,
    spec: FrameSpec,
    renderer: Renderer,
    *,
    connections: int = 1,
    clock: Callable[[], datetime] = timezone.now,
) -> BackendSender:
    """A sender through a relay's Django backend. Raises NotPossible when the site has it no more.

    Backends and services sign by themselves: MAILER_SIGNER is for the engine's own SMTP.
    """
    if relay.backend not in settings.MAILER_BACKENDS:
        words = _("“%(relay)s” sends through %(backend)s, which MAILER_BACKENDS does not list.")
        raise NotPossible(words % {"relay": relay, "backend": relay.backend})
    composer = BackendComposer(spec, renderer, files=_attachments(_files_of(version)), clock=clock)
    return BackendSender(
        relay.backend,
        composer,
        connections=connections,
        pace=_pace(relay),
        suspect=relay.is_suspect,
    )


def _pace(relay: Relay) -> Pace:
    return Pace(relay.rate_per_second and relay.rate_per_second / STRETCH)


def close_connections() -> None:
    """Say goodbye to relays before the process ends."""
    _kept.close()


def content_of(version: MessageVersion) -> Content:
    images = version.files.exclude(image_name="").values_list("image_name", "stored_id")
    content_ids = {name: content_id(name, sha256) for name, sha256 in images}
    html = with_content_ids(version.html, content_ids) if content_ids else version.html
    return Content(subject=version.subject, html=html, text=version.text)


def make_frame(spec: FrameSpec, version: MessageVersion) -> Frame:
    """The frame of a version's messages with its files, signed as the site wants it."""
    files = _files_of(version)
    return Frame(spec, files=_encoded(files) if files else (), signer=settings.MAILER_SIGNER)


def _files_of(version: MessageVersion) -> tuple[tuple[str, str, str, str], ...]:
    columns = ("name", "content_type", "image_name", "stored_id")
    return tuple(version.files.values_list(*columns))


# Two runs' files at most, up to 20 MB each: a worker process reads them once, not for each batch.
@lru_cache(maxsize=2)
def _encoded(files: tuple[tuple[str, str, str, str], ...]) -> Sequence[EncodedFile]:
    return [_encode(*file) for file in files]


@lru_cache(maxsize=1)
def _attachments(files: tuple[tuple[str, str, str, str], ...]) -> Sequence[MIMEBase]:
    return [as_attachment(_encode(*file)) for file in files]


def _encode(name: str, content_type: str, image_name: str, sha256: str) -> EncodedFile:
    octets = StoredFile.objects.values_list("octets", flat=True).get(pk=sha256)
    cid = content_id(image_name, sha256) if image_name else ""
    return encode_file(Attachment(name, content_type, bytes(octets), cid))


def content_id(image_name: str, sha256: str) -> str:
    """Unique to what it shows (RFC 2045 §7): some readers take the image of an earlier mail."""
    return f"{image_name}.{sha256[:16]}@{settings.MAIL_DOMAIN}"


def run_frame(run: Run, version: MessageVersion) -> FrameSpec:
    """The headers that all messages of a run share."""
    if run.is_single:  # no list, and none that a reader could leave
        feedback_id = f"{run.mailing_id}:mailing-{run.mailing_id}:{run.trigger}:{FEEDBACK_SENDER}"
        return message_frame(version, feedback_id=feedback_id)
    lists = list(run.lists.order_by("pk")[:2])
    # Several lists: the mailing is what a reader can filter by.
    slug = lists[0].slug if len(lists) == 1 else f"mailing-{run.mailing_id}"
    phrase = lists[0].name if len(lists) == 1 else run.mailing.name
    return message_frame(
        version,
        list_id=(_ascii_phrase(phrase), f"{slug}.{settings.MAIL_DOMAIN}"),
        feedback_id=f"{run.mailing_id}:{slug}:{run.trigger}:{FEEDBACK_SENDER}",
    )


def message_frame(
    version: MessageVersion, *, list_id: tuple[str, str] | None = None, feedback_id: str = ""
) -> FrameSpec:
    return FrameSpec(
        header_from=(version.from_name, version.from_address),
        reply_to=("", version.reply_to) if version.reply_to else None,
        message_id_domain=settings.MAIL_DOMAIN,
        list_id=list_id,
        feedback_id=feedback_id,
    )


def check_content(run: Run, variables: Mapping[str, object] | None = None) -> None:
    """Raises NotPossible when a run's content cannot be sent to anybody.

    The first render, with `variables` or the first recipient's, runs in a child with bounded memory
    and time; a placeholder that one person lacks is not a problem here: it fails that delivery
    alone.
    """
    version = run.message_version
    if version is None:
        raise NotPossible(_("Run %(run)s has no content.") % {"run": run.pk})
    try:
        make_frame(run_frame(run, version), version)
        compile_content(content_of(version))
    except (ValueError, TemplateProblem) as problem:
        raise _unsendable(problem) from None
    try:
        render_first(version, _first_variables(run) if variables is None else variables)
    except LimitReached as problem:
        raise _unsendable(problem) from None


def render_first(version: MessageVersion, variables: Mapping[str, object]) -> None:
    """Render in a child with bounded memory and time what nobody has rendered yet.

    Raises LimitReached. What is only about this recipient is said where they are tried.
    """
    try:
        render_bounded(content_of(version), variables)
    except LimitReached:
        raise
    except TemplateProblem:
        return


def variables_of(recipient: Recipient) -> dict[str, object]:
    """What a message may say about a recipient; the same as services.expansion writes in SQL."""
    return {
        **recipient.attributes,
        "name": recipient.name,
        "address": recipient.address,
        "language": recipient.language,
        "time_zone": recipient.time_zone,
    }


def variables_of_stranger(address: str) -> dict[str, object]:
    """The same for an address that is no recipient's."""
    return {"name": "", "address": address, "language": "", "time_zone": ""}


def _first_variables(run: Run) -> dict[str, object]:
    first = Recipient.objects.filter(
        subscriptions__list__in=run.lists.all(),
        subscriptions__state=SubscriptionState.SUBSCRIBED,
    ).first()
    return variables_of(first) if first else {}


def _unsendable(problem: Exception) -> NotPossible:
    return NotPossible(_("The message cannot be sent. %(problem)s") % {"problem": problem})


def _ascii_phrase(text: str) -> str:
    """What of a name may stand before a List-Id (RFC 2919: ASCII; a non-ASCII one is left out)."""
    clean = "".join(c for c in text if c.isalnum() or c in " -_.")
    return clean if clean.isascii() else ""
