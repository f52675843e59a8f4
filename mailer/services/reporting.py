"""What became of a run, as data."""

from datetime import UTC, datetime
from typing import Any

from django.db.models import Case, Count, Max, When
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mailer.engine.verdict import meaning_of
from mailer.models import Audit, Delivery, Run
from mailer.states import DeliveryState

#: States whose deliveries did not arrive, as far as anybody knows.
NOT_ARRIVED = (DeliveryState.FAILED, DeliveryState.DEFERRED, DeliveryState.UNCERTAIN)

_WITHOUT_REPLY = {
    DeliveryState.UNCERTAIN: gettext_lazy("The mail server may have taken it, or not."),
    DeliveryState.DEFERRED: gettext_lazy("It was not taken over this time; the problem says why."),
    DeliveryState.FAILED: gettext_lazy("The mail server never took it; the problem says why."),
}


def report_run(run: Run) -> dict[str, Any]:
    """The run as plain JSON data; times are ISO 8601 in UTC."""
    return {
        "run": run.pk,
        "mailing": run.mailing.name,
        "slot": _iso(run.slot),
        "state": run.state,
        "reason": run.reason,
        "total": run.total,
        "by_state": run.by_state,
        "left_out": run.left_out,
        "started": _iso(run.started_at),
        "finished": _iso(run.finished_at),
        "failures": failures_by_reply(run),
    }


def failures_by_reply(run: Run) -> list[dict[str, Any]]:
    """Deliveries that did not arrive, grouped by state and reply, the largest group first."""
    # Once uncertain, and by staff's answer failed: the answer's moment is in the audit.
    answers = list(run.audits.filter(action=Audit.Action.RESOLVE).values_list("at", flat=True))
    by_staff = Case(
        When(state=DeliveryState.FAILED, settled_at__in=answers, then=True), default=False
    )
    groups = (
        Delivery.objects.filter(run=run, problem__isnull=False, state__in=NOT_ARRIVED)
        .annotate(by_staff=by_staff)
        .values("state", "problem", "by_staff")
        .annotate(count=Count("pk"), reply=Max("reply"), code=Max("code"))
        .order_by("-count", "problem")
    )
    return [{**group, "meaning": _meaning(**group)} for group in groups]


def next_try(run: Run) -> datetime | None:
    """When the first of a run's deferred deliveries is due; one walk along the index on that."""
    deferred = Delivery.objects.filter(run=run, retry_at__isnull=False).order_by("retry_at")
    return deferred.values_list("retry_at", flat=True).first()


def _meaning(
    *,
    state: str,
    problem: str | None,
    code: int | None,
    reply: str | None,
    by_staff: bool,
    **_count: int,
) -> str:
    if by_staff:
        return _("The mail server may have taken it, or not. It was counted as failed by staff.")
    if code is None:
        return str(_WITHOUT_REPLY[DeliveryState(state)])
    words = (problem or "").split()
    enhanced = words[1] if len(words) > 1 else ""
    return meaning_of(code, enhanced, reply or "", state=state)


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
