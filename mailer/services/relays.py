"""A relay's address for the engine, its health and its rate."""

from datetime import datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from mailer.engine.relay import RelayAddress, Security
from mailer.engine.sender import RelayTrouble
from mailer.models import Audit, Batch, Relay, Run
from mailer.states import BatchState, RunState

LONGEST_PAUSE = timedelta(minutes=15)
#: A relay that was slow is taken to be so for as long after it.
SLOW_FOR = timedelta(minutes=15)


def relay_address(relay: Relay) -> RelayAddress:
    """Raises ValueError when the stored password cannot be read."""
    url = settings.RELAY_URL
    patience: dict[str, Any] = {
        "helo_name": settings.MAIL_DOMAIN,
        "command_timeout": settings.MAILER_SMTP_TIMEOUT,
        "connect_timeout": settings.MAILER_SMTP_TIMEOUT,
        "final_timeout": settings.MAILER_SMTP_DOT_TIMEOUT,
    }
    if relay.from_environment:
        return RelayAddress(
            url.host,
            url.port,
            security=cast("Security", url.security),
            username=url.username,
            password=url.password,
            **patience,
        )
    return RelayAddress(
        relay.host,
        relay.port,
        security=cast("Security", relay.security),  # the choices are the same words
        username=relay.username,
        password=relay.get_password(),
        **patience,
    )


def note_trouble(batch: Batch, trouble: RelayTrouble, *, now: datetime) -> None:
    """Pause the relay with backoff, or hold the run: staff see why, no recipient is blamed."""
    if trouble.kind == "hold":
        if batch.run.is_single:
            put_off(batch.run, reason=trouble.reason, now=now)
        else:
            hold_run(batch.run_id, reason=trouble.reason, now=now)
        return
    with transaction.atomic():
        relay = Relay.objects.select_for_update().get(pk=batch.relay_id)
        if relay.is_paused(now=now):
            return  # the same hiccup, seen from another connection
        pause = timedelta(seconds=settings.MAILER_RELAY_PAUSE_SECONDS)
        pause = min(pause * 2 ** min(relay.failures_in_a_row, 20), LONGEST_PAUSE)
        relay.failures_in_a_row += 1
        relay.paused_until = now + pause
        relay.pause_reason = trouble.reason[:300]
        relay.save(update_fields=["failures_in_a_row", "paused_until", "pause_reason"])


def note_success(relay: Relay, *, now: datetime) -> None:
    """Forget a relay's troubles once it has answered for a recipient again.

    A pause that another worker has just set stays: what we were told is older than that.
    """
    troubled = Relay.objects.filter(pk=relay.pk, failures_in_a_row__gt=0)
    troubled.filter(Q(paused_until=None) | Q(paused_until__lte=now)).update(
        failures_in_a_row=0, paused_until=None, pause_reason=""
    )


def note_slow(relay: Relay, *, now: datetime) -> None:
    """Note that a relay lets us wait: whoever needs a process that sends to it cannot have it."""
    Relay.objects.filter(pk=relay.pk).update(slow_until=now + SLOW_FOR)


def places_for_slow(processes: int) -> int:
    """How many batches may be sent at a time through relays that are slow, all of them together:
    the last process is for the others."""
    return max(1, processes - 1)


def is_one_too_many(batch: Batch, *, processes: int, now: datetime) -> bool:
    """Whether a batch that is being sent holds the process that slow relays leave to the others:
    it was taken up before they were found to be slow, and last of all."""
    slow = Batch.objects.filter(state=BatchState.SENDING, relay__slow_until__gt=now)
    keys = list(slow.order_by("claimed_at", "pk").values_list("pk", flat=True))
    return batch.pk in keys[places_for_slow(processes) :]


@transaction.atomic
def hold_run(run_id: int, *, reason: str, now: datetime) -> bool:
    """Pause a run because the relay refuses us, not its recipients; staff see the reason."""
    held = Run.objects.filter(pk=run_id, state=RunState.SENDING).update(
        state=RunState.PAUSED, reason=reason[:500]
    )
    if held:
        Audit.objects.create(run_id=run_id, action=Audit.Action.HOLD, at=now, detail=reason[:500])
    return bool(held)


@transaction.atomic
def put_off(run: Run, *, reason: str, now: datetime) -> None:
    """Have a single message wait where a run would be held: once the relay takes it, nobody shall
    have to resume hundreds. It waits as long again as it has, LONGEST_PAUSE at most."""
    waited = now - (run.started_at or now)
    pause = timedelta(seconds=settings.MAILER_RELAY_PAUSE_SECONDS)
    later = now + min(max(pause, waited), LONGEST_PAUSE)
    Batch.objects.filter(run=run, state=BatchState.READY).update(not_before=later)
    Audit.objects.get_or_create(
        run=run, action=Audit.Action.HOLD, detail=reason[:500], defaults={"at": now}
    )


def resume_relay(relay_id: int) -> None:
    """End a relay's pause, and its backoff: it is tried at the next ring. How slow it was is
    forgotten, too."""
    Relay.objects.filter(pk=relay_id).update(
        paused_until=None, pause_reason="", failures_in_a_row=0, slow_until=None
    )
