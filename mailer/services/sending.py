"""Sending one batch: claim, then window after window until it is through or told to stop."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from django.conf import settings
from django.db import Error, connection

from mailer.engine.sender import Outcome, Result, Sender

from .backend_sender import BackendSender
from .claiming import Claim, claim_batch
from .content import open_sender
from .leases import kept_alive
from .limits import is_limited
from .relays import hold_run, note_success, note_trouble
from .turns import Turns
from .watch import Watch
from .windows import next_window, record_window, window_size

log = logging.getLogger(__name__)

#: Messages a second that a process begins with, until it knows the relay.
FIRST_SPEED = 2.0
_speeds: dict[int, float] = {}  # by relay, as its last window went


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

    `processes` is how many work on the same queue: they share the relay's connections,
    and the last of them is not for a relay that is slow.

    A batch that cannot be sent at all, or stumbles over a mistake of ours, holds its run and says
    why. A worker that dies in here leaves its lease; the reaper then calls what lies below the
    mark uncertain.
    """
    claim = claim_batch(batch_id, task_id=task_id, worker=worker, now=clock(), processes=processes)
    if claim is None:
        return {}
    results: list[Result] = []
    try:
        with (
            kept_alive(claim, clock=clock),
            open_sender(claim.batch.run, claim.batch.relay, processes=processes) as sender,
        ):
            _send_windows(
                claim, sender, results, clock=clock, stopping=stopping, processes=processes
            )
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
    processes: int,
) -> None:
    """Window after window; `results` holds what is known and not recorded yet."""
    batch, relay = claim.batch, claim.batch.relay
    watch = Watch(
        claim,
        clock=clock,
        per_second=_speeds.get(relay.pk, FIRST_SPEED),
        processes=processes,
    )
    turns = Turns(batch, clock=clock) if is_limited(batch, now=clock()) else None
    # After trouble one message goes first, to find out whether it is over; and another, where the
    # relay has said nothing about it. A break pauses the relay again (engine.dispatch).
    probing = relay.is_suspect
    go_on = not relay.is_paused(now=clock())
    again = 0  # messages of the last window that were not attempted, for want of time

    def may_offer() -> bool:
        return claim.is_held() and not stopping() and (turns is None or turns.goes_on())

    def may_continue() -> bool:
        # A relay that has become slow must not keep this process from the others for a window.
        return claim.is_held() and not stopping() and not watch.is_halted()

    while True:
        size = 1 if probing else again or window_size(batch, per_second=watch.per_second)
        if go_on and turns:
            # Recorded before the wait, and marked after it: nobody is on the way meanwhile.
            if not record_window(claim, results, now=clock()):
                return
            results.clear()
            size = turns.take(min(size, again or batch.last_seq + 1 - batch.mark), may_continue)
            go_on = bool(size) and may_continue()
        window = next_window(claim, results, now=clock(), go_on=go_on, size=size, again=bool(again))
        results.clear()
        if window is None:
            break
        if turns:
            turns.begin(may_continue)
        watch.open_window(results)
        sender.send(window[:size], results, may_continue=may_continue, may_offer=may_offer)
        watch.close_window()
        _speeds[relay.pk] = watch.per_second
        if turns:
            turns.end(attempted=len(results))
        early = len(results) < len(window[:size])
        go_on = (
            sender.trouble is None
            # A window that ended early is closed: what is left of it must not lie below the mark.
            and (not early or (turns is not None and turns.is_over()))
            and may_continue()
        )
        again = len(window) - len(results)
        if relay.is_suspect and _has_answered(results, stopped=sender.trouble is not None):
            probing = False
            note_success(relay, now=clock())
    if turns:
        turns.end(attempted=0)
    watch.close()
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
