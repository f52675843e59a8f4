"""Sending one batch: claim, then window after window until it is through or told to stop."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from django.conf import settings
from django.db import Error, connection

from mailer.engine.sender import Outcome, Result, Sender
from mailer.models import Relay

from .backend_sender import BackendSender
from .claiming import Claim, claim_batch, is_sending
from .content import open_sender
from .leases import kept_alive
from .relays import hold_run, note_success, note_trouble, reserve_time
from .windows import next_window, record_window, window_size

log = logging.getLogger(__name__)

#: Messages a second that a process begins with, until it knows the relay.
FIRST_SPEED = 2.0
_speeds: dict[int, float] = {}  # by relay, as its last window went
#: How often a worker looks whether its run was paused or cancelled.
LOOK_SECONDS = 1.0


def send_batch(
    batch_id: int,
    *,
    task_id: str,
    worker: str,
    clock: Callable[[], datetime],
    stopping: Callable[[], bool],
    processes: int = 1,
) -> dict[str, int]:
    """Send a batch and say how many deliveries became what; {} when there was nothing to claim.

    `processes` is how many work on the same queue: they share the relay's connections.

    A batch that cannot be sent at all, or stumbles over a mistake of ours, holds its run and says
    why. A worker that dies in here leaves its lease; the reaper then calls what lies below the
    mark uncertain.
    """
    claim = claim_batch(batch_id, task_id=task_id, worker=worker, now=clock())
    if claim is None:
        return {}
    results: list[Result] = []
    try:
        with (
            kept_alive(claim, clock=clock),
            open_sender(claim.batch.run, claim.batch.relay, processes=processes) as sender,
        ):
            _send_windows(claim, sender, results, clock=clock, stopping=stopping)
    except Exception as error:
        # What is known must land first, whatever broke: an accepted message is never uncertain.
        land_results(claim, results, clock=clock)
        if not isinstance(error, Error):
            hold_run(claim.batch.run_id, reason=f"{type(error).__name__}: {error}", now=clock())
        raise
    log.info("batch %s: %s", batch_id, dict(claim.outcomes))
    return dict(claim.outcomes)


def _send_windows(
    claim: Claim,
    sender: Sender | BackendSender,
    results: list[Result],
    *,
    clock: Callable[[], datetime],
    stopping: Callable[[], bool],
) -> None:
    """Window after window; `results` holds what is known and not recorded yet."""
    relay = claim.batch.relay
    end = time.monotonic() + settings.MAILER_BATCH_SECONDS
    go_on = not relay.is_paused(now=clock())

    def may_offer() -> bool:
        return claim.is_held() and not stopping()

    watch, per_second = RunWatch(claim.batch.run_id), _speeds.get(relay.pk, FIRST_SPEED)

    def may_continue() -> bool:
        # A relay that has become slow must not keep this process from the others for a window.
        return may_offer() and time.monotonic() < end and not watch.is_halted()

    while True:
        size = window_size(claim.batch, per_second=per_second)
        if go_on and relay.rate_per_second:
            # Recorded before the wait, and marked after it: nobody is on the way meanwhile.
            if not record_window(claim, results, now=clock()):
                return
            results.clear()
            _wait_for_turn(relay, size, may_continue, clock=clock)
            go_on = may_continue()
        window = next_window(claim, results, now=clock(), go_on=go_on, size=size)
        results.clear()
        if window is None:
            break
        begun = time.monotonic()
        sender.send(window, results, may_continue=may_continue, may_offer=may_offer)
        per_second = len(window) / max(0.001, time.monotonic() - begun)
        _speeds[relay.pk] = per_second
        go_on = (
            sender.trouble is None
            # A window that ended early is closed: what is left of it must not lie below the mark.
            and len(results) == len(window)
            and may_continue()
        )
        if relay.failures_in_a_row and _has_answered(results, stopped=sender.trouble is not None):
            note_success(relay, now=clock())
    if sender.trouble:
        note_trouble(claim.batch, sender.trouble, now=clock())


def _has_answered(results: Sequence[Result], *, stopped: bool) -> bool:
    """Whether the relay said something about a recipient. Where it `stopped` the sending, what it
    put off may be that very refusal (421), which must not end the backoff."""
    return any(
        # A Django backend accepts without an SMTP code.
        (result.code or result.outcome is Outcome.SENT)
        and not (stopped and result.outcome is Outcome.DEFERRED)
        for result in results
    )


class RunWatch:
    """Looks now and then whether a run is still sending, so that a cancel or a pause stops it at
    the next message, however slow its relay is."""

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id
        self._look_at = time.monotonic() + LOOK_SECONDS

    def is_halted(self) -> bool:
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + LOOK_SECONDS
        try:
            return not is_sending(self._run_id)
        except Error:
            return True  # nothing can be written down now: stop before the next message


def _wait_for_turn(
    relay: Relay, messages: int, may_continue: Callable[[], bool], *, clock: Callable[[], datetime]
) -> None:
    """Wait until the relay's rate has room for so many."""
    start_at = reserve_time(relay, messages=messages, now=clock())
    while clock() < start_at and may_continue():
        time.sleep(min(0.25, max(0.0, (start_at - clock()).total_seconds())))


def land_results(claim: Claim, results: Sequence[Result], *, clock: Callable[[], datetime]) -> None:
    """Record what is known and close the batch, through an outage as long as the lease allows.

    Works whether or not the transaction that failed was committed after all.
    """
    while claim.is_held():
        try:
            next_window(claim, results, now=clock(), go_on=False)
        except Error as error:
            log.warning("batch %s: not recorded yet: %s", claim.batch.pk, error)
            connection.close()
            time.sleep(settings.MAILER_LEASE_SECONDS / 20)
        else:
            return
