"""What a worker keeps an eye on while it sends a batch, however slow the relay is."""

import time
from collections.abc import Callable, Sized
from datetime import datetime

from django.conf import settings
from django.db import Error

from mailer.models import Batch

from .claiming import Claim, is_sending
from .fairness import must_yield, note_progress
from .limits import rates_of
from .relays import is_one_too_many, note_slow

#: How often it looks into the database.
LOOK_SECONDS = 1.0
#: A batch is not taken away from its worker before it has been at it for so long.
YIELDS_AFTER = 2.0  # seconds
#: A relay is slow that says nothing about any of the messages on the way for so long.
SLOW_AFTER = 10.0  # seconds


class Watch:
    """Looks now and then whether to go on with a batch: its run may have been paused or cancelled,
    its time may be over, or another run's turn have come. `per_second` is how fast it goes."""

    def __init__(
        self,
        claim: Claim,
        *,
        clock: Callable[[], datetime],
        per_second: float,
        processes: int = 1,
    ) -> None:
        self._processes = processes
        self.per_second = per_second
        self._claim = claim
        self._clock = clock
        self._begun = time.monotonic()
        self._look_at = self._begun + LOOK_SECONDS
        self._attempted = self._told = 0
        self._window: Sized = ()
        self._opened: float | None = None
        self._heard, self._heard_at = 0, 0.0
        self._yields = False
        self._rates = rates_of(claim.batch, now=clock())

    def open_window(self, results: Sized) -> None:
        """Messages are handed over from now on; `results` grows as they end."""
        self._window, self._opened = results, time.monotonic()
        self._heard, self._heard_at = 0, self._opened

    def close_window(self) -> None:
        """Count what was attempted."""
        attempted, opened = len(self._window), self._opened
        self._window, self._opened = (), None
        self._attempted += attempted
        if attempted and opened is not None:
            self.per_second = attempted / max(0.001, time.monotonic() - opened)

    def is_halted(self) -> bool:
        now = time.monotonic()
        is_over = self._yields or now >= self._begun + settings.MAILER_BATCH_SECONDS
        if now < self._look_at:
            return is_over
        self._look_at = now + LOOK_SECONDS
        try:
            self._look_for_silence(now)
            if is_over:
                return True
            self._yields = (
                self._must_yield(now)
                or self._rates_changed()
                or is_one_too_many(self._claim.batch, processes=self._processes, now=self._clock())
            )
            return self._yields or not is_sending(self._claim.batch.run_id)
        except Error:
            return True  # nothing can be written down now: stop before the next message

    def close(self) -> None:
        """Tell how far the run has come."""
        attempted, self._told = self._attempted - self._told, self._attempted
        note_progress(self._claim.batch, messages=attempted)

    def _look_for_silence(self, now: float) -> None:
        if len(self._window) != self._heard or self._opened is None:
            self._heard, self._heard_at = len(self._window), now
        elif now >= self._heard_at + SLOW_AFTER:
            note_slow(self._claim.batch.relay, now=self._clock())
            self._heard_at = now

    def _rates_changed(self) -> bool:
        """Whether staff have changed how fast the batch may go: whoever takes it up then knows."""
        batch = Batch.objects.select_related("relay").get(pk=self._claim.batch.pk)
        return rates_of(batch, now=self._clock()) != self._rates

    def _must_yield(self, now: float) -> bool:
        # Not before it has sent something, or it would only have waited for its turn.
        on_the_way = self._opened is not None and now >= self._opened + LOOK_SECONDS
        if now < self._begun + YIELDS_AFTER or not (self._attempted or on_the_way):
            return False
        self.close()
        return must_yield(self._claim.batch, per_second=self.per_second, now=self._clock())
