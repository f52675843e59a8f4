"""What a delivery's page tells: its state in words, and each attempt with its reply."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from admin_ext.components.badges import badge
from admin_ext.components.times import exact_time, relative_time
from mailer.engine.verdict import meaning_of
from mailer.models import Attempt, Audit, Batch, Delivery
from mailer.states import BatchState, DeliveryState


def badge_of(state: str) -> SafeString:
    return badge(DeliveryState(state))


def state_in_words(delivery: Delivery) -> SafeString:
    """The state's badge and a sentence on what it means for this delivery."""
    return format_html("{} {}", badge_of(delivery.state), _sentence(delivery))


def gives_up_at(delivery: Delivery) -> datetime | None:
    """When its run's time is over, where that is before its next try."""
    over, due = delivery.run.expires_at, delivery.retry_at
    return over if over and due and over <= due else None


def attempts_of(delivery: Delivery) -> list[dict[str, Any]]:
    """Every attempt, the last one first, and what staff said of one that had ended uncertain.

    The earlier ones were kept when it was tried again.
    """
    rows: list[tuple[Delivery | Attempt, int, datetime | None]] = [
        (row, row.number, row.at) for row in delivery.earlier.order_by("id")
    ]
    if delivery.settled_at and delivery.attempts:
        rows.append((delivery, delivery.attempts, delivery.settled_at))
    answers = {entry.at: entry for entry in _answers(delivery)}
    return [
        _answer(row, answers[at]) if at in answers else _attempt(row, number=number, at=at)
        for row, number, at in reversed(rows)
    ]


def _attempt(row: Delivery | Attempt, *, number: int, at: Any) -> dict[str, Any]:
    return {
        "number": number,
        "at": at,
        "badge": badge_of(row.state),
        "reply": _ending(row),
        "meaning": meaning_of(row.code, row.enhanced_status, row.reply, state=row.state)
        if row.code
        else "",
    }


def _answer(row: Delivery | Attempt, entry: Audit) -> dict[str, Any]:
    """What staff said of the attempt before: no attempt itself."""
    words = _("Counted as %(state)s by %(who)s.") % {
        "state": row.get_state_display().lower(),
        "who": _who(entry),
    }
    return {"number": "—", "at": entry.at, "badge": badge_of(row.state), "reply": words}


def _answers(delivery: Delivery) -> QuerySet[Audit]:
    """When somebody said what became of uncertain deliveries of its run."""
    return Audit.objects.filter(run=delivery.run_id, action=Audit.Action.RESOLVE).select_related(
        "actor"
    )


def _who(entry: Audit) -> str:
    return str(entry.actor or _("the system"))


def _ending(row: Delivery | Attempt) -> str:
    """The reply, or what there was instead of one."""
    if reply := _reply(row):
        return reply
    if isinstance(row, Delivery):
        return row.problem or ""
    # Only of a lost worker's attempt is nothing at all known.
    return _("interrupted") if row.state == DeliveryState.UNCERTAIN else ""


def _reply(row: Delivery | Attempt) -> str:
    """The reply as the relay gave it: "550 5.1.1 no such user"."""
    if row.code is None:
        return row.reply
    # The text begins with the enhanced status wherever the relay gave one.
    status = "" if row.reply.startswith(row.enhanced_status) else row.enhanced_status
    return " ".join(filter(None, [str(row.code), status, row.reply]))


def _sentence(delivery: Delivery) -> str:
    state, why = delivery.state, delivery.problem or "—"
    if state == DeliveryState.PENDING and _is_on_its_way(delivery):
        return _("It is on its way right now.")
    if delivery.settled_at and (entry := _answers(delivery).filter(at=delivery.settled_at).first()):
        doubt = delivery.earlier.order_by("-id").first()
        return _(
            "It was uncertain (%(why)s): the mail server may have taken it, or not. %(who)s counted"
            " it as %(state)s on %(when)s."
        ) % {
            "why": _ending(doubt) if doubt else "—",
            "who": _who(entry),
            "state": delivery.get_state_display().lower(),
            "when": exact_time(entry.at),
        }
    if over := gives_up_at(delivery):
        words = _(
            "It was refused for now (%(why)s) and is given up %(when)s: its next try would be"
            " later."
        )
        return words % {"why": why, "when": relative_time(over, now=timezone.now())}
    when = relative_time(delivery.retry_at, now=timezone.now()) if delivery.retry_at else ""
    return str(_SENTENCES[DeliveryState(state)]) % {"why": why, "when": when}


_SENTENCES = {
    DeliveryState.PENDING: gettext_lazy("It waits for its turn."),
    DeliveryState.SENT: gettext_lazy("The mail server took it. That is not yet an inbox."),
    DeliveryState.DEFERRED: gettext_lazy(
        "It was refused for now (%(why)s) and is tried again %(when)s."
    ),
    DeliveryState.FAILED: gettext_lazy("It was refused, or given up: %(why)s."),
    DeliveryState.UNCERTAIN: gettext_lazy(
        "The mail server may have taken it; the connection ended before it said so. It is not sent"
        " again unless somebody says so."
    ),
    DeliveryState.SKIPPED: gettext_lazy("It was left out: %(why)s."),
    DeliveryState.CANCELLED: gettext_lazy("Its run was cancelled before it was sent."),
}


def _is_on_its_way(delivery: Delivery) -> bool:
    return Batch.objects.filter(
        run=delivery.run_id,
        state=BatchState.SENDING,
        first_seq__lte=delivery.seq,
        mark__gt=delivery.seq,
    ).exists()
