"""Keeping a lease while a window is being sent, which may take longer than the lease itself."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from django.conf import settings
from django.db import Error, connection

from .claiming import Claim, renew_lease

log = logging.getLogger(__name__)


@contextmanager
def kept_alive(claim: Claim, *, clock: Callable[[], datetime]) -> Iterator[None]:
    """Renew the claim's lease every quarter of it, from a thread with its own connection.

    The wait for a reply after the dot may take ten minutes; a lease may be shorter than that.
    """
    done = threading.Event()
    thread = threading.Thread(
        target=_renew_until, args=(claim, done, clock), name=f"lease-{claim.batch.pk}", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _renew_until(claim: Claim, done: threading.Event, clock: Callable[[], datetime]) -> None:
    try:
        while not done.wait(settings.MAILER_LEASE_SECONDS / 4):
            try:
                if not renew_lease(claim, now=clock()):
                    return  # closed by ourselves a moment ago, or reaped
            except Error as error:
                # The deadline stops the sending if this goes on.
                log.warning("batch %s: lease not renewed: %s", claim.batch.pk, error)
                connection.close()
    finally:
        connection.close()
