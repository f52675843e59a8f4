"""One message to one address, for the host project's own code: a receipt, a password reset.

A run of its own in the same ledger: what becomes of it is on the same pages.
"""

import json
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from mailer.addresses import Normal, hash_address, normalize_address
from mailer.engine.headers import refuse_breaks
from mailer.engine.values import PlainDataError, plain_values
from mailer.exceptions import NotPossible
from mailer.locks import Lock, share_if_free
from mailer.models import Batch, Delivery, Mailing, Message, MessageVersion, Recipient, Run
from mailer.states import DeliveryState, RunState

from . import doorbell
from .content import check_content, variables_of, variables_of_stranger
from .left_out import stopping_all
from .providers import limits_by_domain
from .shares import freeze_shares
from .single_mailing import single_mailing
from .tail import make_batches

LONGEST_KEY = 200
#: Slots of a mailing are this far apart, at least.
TICK = timedelta(microseconds=1)


@transaction.atomic
def send_one(
    message: Message,
    address: str,
    variables: Mapping[str, object],
    *,
    idempotency_key: str,
    now: datetime | None = None,
) -> Delivery:
    """Have a message sent to one address, before bulk mail; its delivery, which is still to go.

    `variables` fill it in, on top of what is known of a recipient with this address. They are plain
    JSON data (engine.values) and are kept. `idempotency_key` has 1 to 200 characters: the same
    again with this message, also from two processes at once, sends nothing and gives the first
    call's delivery. Nothing is sent before the caller's transaction has committed.

    An address that must get no mail is not an error, as the caller could do nothing about it: the
    delivery is skipped, with the problem "suppressed". Who has only unsubscribed still gets it.

    Raises NotPossible, having changed nothing: the address or the key is none; the message has no
    content, or cannot be rendered for anybody; a value is no plain data or too large, or the name
    has a line break; there is no relay; the key was used for another address.
    """
    _check_key(idempotency_key)
    now = now or timezone.now()
    normal = _normalize(address)
    mailing = single_mailing(message)
    if earlier := _find(mailing, idempotency_key):
        return _same(earlier, normal)
    version = message.current
    if version is None:
        raise NotPossible(_("“%(message)s” has no content yet.") % {"message": message})
    # Whoever the delivery points to stays until the commit. It points to nobody while recipients
    # are being deleted: that may take minutes, and somebody waits for this message.
    may_point = share_if_free(Lock.EXPANDING)
    recipient = Recipient.objects.filter(address_key=_key(normal)).first()
    known = variables_of(recipient) if recipient else variables_of_stranger(normal.address)
    values = _check_values({**known, **variables})
    is_new = not mailing.runs.filter(message_version=version).exists()
    run, earlier = _open_run(mailing, version, idempotency_key=idempotency_key, now=now)
    if earlier:
        return _same(earlier, normal)
    if is_new:
        check_content(run, values)
    recipient = recipient if may_point else None
    return _fill(run, normal, recipient=recipient, values=values, now=now)


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY:
        words = _("An idempotency key is text of 1 to %(n)s characters.")
        raise NotPossible(words % {"n": LONGEST_KEY})
    if not _is_storable(key):
        words = _("The idempotency key holds a NUL character or half a surrogate pair.")
        raise NotPossible(words)


def _is_storable(text: str) -> bool:
    """Whether a database keeps it: PostgreSQL takes no NUL, and UTF-8 has no lone surrogates."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _normalize(address: object) -> Normal:
    if not isinstance(address, str) or not _is_storable(address):
        raise NotPossible(_("%(address).100a is not an e-mail address.") % {"address": address})
    try:
        return normalize_address(address)
    except ValueError as error:
        raise NotPossible(str(error)) from None


def _key(normal: Normal) -> bytes:
    return hash_address(normal, key=settings.ADDRESS_KEY)


def _check_values(values: dict[str, object]) -> dict[str, object]:
    """Raises NotPossible for what no template may see, or no database keeps."""
    try:
        plain_values(values)
    except PlainDataError as problem:
        words = _("The message cannot be filled in: %(problem)s.")
        raise NotPossible(words % {"problem": problem}) from None
    if "\\u0000" in json.dumps(values).replace("\\\\", ""):  # PostgreSQL refuses it
        raise NotPossible(_("The message cannot be filled in: a value holds a NUL character."))
    try:
        refuse_breaks("To", str(values.get("name", "")))
    except ValueError:
        words = _("The message cannot be filled in: the name holds a line break.")
        raise NotPossible(words) from None
    return values


def _find(mailing: Mailing, idempotency_key: str) -> Delivery | None:
    """What the first call with this key made."""
    of_key = Delivery.objects.filter(
        run__in=mailing.runs.filter(idempotency_key=idempotency_key).values("pk")
    )
    return of_key.select_related("run").first()


def _same(earlier: Delivery, normal: Normal) -> Delivery:
    if bytes(earlier.address_key) == _key(normal):
        return earlier
    # Without the other address: whoever reads the error need not know it.
    words = _("Run %(run)s has this idempotency key and another address. Nothing was sent.")
    raise NotPossible(words % {"run": earlier.run_id})


def _open_run(
    mailing: Mailing, version: MessageVersion, *, idempotency_key: str, now: datetime
) -> tuple[Run, Delivery | None]:
    """A run of its own, frozen; or, with one, the delivery that this key has made meanwhile."""
    run = Run(
        mailing=mailing,
        slot=now,
        trigger=Run.Trigger.SINGLE,
        state=RunState.SENDING,
        message_version=version,
        relay=mailing.relay,
        shares=freeze_shares(mailing),
        idempotency_key=idempotency_key,
        total=1,
        pending=1,
        next_seq=2,
        created_at=now,
        started_at=now,
        expires_at=now + mailing.expires_after,
    )
    while True:
        try:
            with transaction.atomic():
                run.save(force_insert=True)
            return run, None
        except IntegrityError:
            if earlier := _find(mailing, idempotency_key):
                return run, earlier
            if not mailing.runs.filter(slot=run.slot).exists():
                raise
            run.slot += TICK


def _uuid(run: Run, recipient: Recipient | None) -> UUID:
    """See Delivery.uuid."""
    recipient_id = recipient.pk if recipient else 0
    return UUID(bytes=run.pk.to_bytes(5) + recipient_id.to_bytes(5) + secrets.token_bytes(6))


def _fill(
    run: Run,
    normal: Normal,
    *,
    recipient: Recipient | None,
    values: dict[str, object],
    now: datetime,
) -> Delivery:
    """Give a new run its delivery, and work to whoever sends it."""
    key = _key(normal)
    delivery = Delivery(
        run=run,
        seq=1,
        uuid=_uuid(run, recipient),
        recipient=recipient,
        address=normal.address,
        address_key=key,
        domain=normal.domain,
        variables=values,
    )
    if stopping_all().filter(address_key=key).exists():
        delivery.state, delivery.problem = DeliveryState.SKIPPED, "suppressed"
        delivery.settled_at = now
        run.state, run.pending, run.skipped = RunState.FINISHED, 0, 1
        run.first_pass_finished_at = run.finished_at = now
        run.save()
    else:
        limit = limits_by_domain().get(normal.domain)
        Batch.objects.bulk_create(make_batches(run, first_seq=1, count=1, limit=limit, now=now))
        doorbell.ring()
    delivery.save(force_insert=True)
    return delivery
