"""The states of a run, a batch, a delivery and a subscription, and the moves between them."""

from collections.abc import Mapping

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class RunState(TextChoices):
    SCHEDULED = "scheduled", _("Scheduled")  # its slot has come; it may wait for the one before it
    PREPARING = "preparing", _("Preparing")  # a worker's death here: the tick prepares it again
    SENDING = "sending", _("Sending")  # a worker's death here: see BatchState.SENDING
    PAUSED = "paused", _("Paused")  # by staff or by the system; `reason` says why
    FINISHED = "finished", _("Finished")
    CANCELLED = "cancelled", _("Cancelled")
    FAILED = "failed", _("Failed")  # it could not be prepared: nothing was sent
    SKIPPED = "skipped", _("Not sent")  # the mailing's policy let this slot pass; `reason` says why


class BatchState(TextChoices):
    READY = "ready", _("Ready")
    # A worker holds the lease. Its death: what lies below the mark and has no outcome becomes
    # uncertain, the rest goes back to the tail of its run.
    SENDING = "sending", _("Sending")
    DONE = "done", _("Done")


class DeliveryState(TextChoices):
    PENDING = "pending", _("Waiting")  # or on its way: below the mark of a sending batch
    SENT = "sent", _("Sent")  # the relay answered 250 after the dot; not proof of an inbox
    DEFERRED = (
        "deferred",
        _("Will retry"),
    )  # refused for now; `retry_at` says when it is tried again
    FAILED = "failed", _("Failed")
    # Not PENDING: it may have left, and twice is worse than asking.
    UNCERTAIN = "uncertain", _("Uncertain")
    SKIPPED = "skipped", _("Left out")  # suppressed or unsubscribed since; `problem` says which
    CANCELLED = "cancelled", _("Cancelled")


class SubscriptionState(TextChoices):
    SUBSCRIBED = "subscribed", _("Subscribed")
    UNCONFIRMED = "unconfirmed", _("Not confirmed")  # double opt-in: asked, not answered yet
    UNSUBSCRIBED = "unsubscribed", _("Unsubscribed")  # an import never undoes this


_R, _D = RunState, DeliveryState

RUN_MOVES: Mapping[RunState, frozenset[RunState]] = {
    _R.SCHEDULED: frozenset({_R.PREPARING, _R.CANCELLED, _R.SKIPPED}),
    _R.PREPARING: frozenset({_R.SENDING, _R.CANCELLED, _R.FAILED}),
    _R.SENDING: frozenset({_R.PAUSED, _R.FINISHED, _R.CANCELLED}),
    _R.PAUSED: frozenset({_R.SENDING, _R.CANCELLED}),
    _R.FINISHED: frozenset({_R.SENDING}),  # only by an audited retry
    _R.CANCELLED: frozenset(),
    _R.FAILED: frozenset(),
    _R.SKIPPED: frozenset(),
}
DELIVERY_MOVES: Mapping[DeliveryState, frozenset[DeliveryState]] = {
    _D.PENDING: frozenset(
        {_D.SENT, _D.DEFERRED, _D.FAILED, _D.UNCERTAIN, _D.SKIPPED, _D.CANCELLED}
    ),
    _D.DEFERRED: frozenset({_D.PENDING, _D.FAILED, _D.CANCELLED, _D.SKIPPED}),
    # From here on only through an audited service (I9).
    _D.FAILED: frozenset({_D.PENDING, _D.SKIPPED}),
    _D.UNCERTAIN: frozenset({_D.SENT, _D.FAILED, _D.PENDING}),
    _D.CANCELLED: frozenset({_D.PENDING}),
    _D.SENT: frozenset(),
    _D.SKIPPED: frozenset(),
}

RUN_FINAL = frozenset({_R.FINISHED, _R.CANCELLED, _R.FAILED, _R.SKIPPED})
# Not final, and past its preparation: it has deliveries that may still move.
RUN_UNDER_WAY = frozenset({_R.SENDING, _R.PAUSED})
# Deliveries in it can be sent again.
RUN_SENDS_AGAIN = frozenset({*RUN_UNDER_WAY, _R.FINISHED})
