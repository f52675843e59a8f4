"""What became of a run, as data."""

from datetime import UTC, datetime
from typing import Any

from mailer.models import Delivery, Run

from .failures import failures_by_reply


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


def next_try(run: Run) -> datetime | None:
    """When the first of a run's deferred deliveries is due; one walk along the index on that."""
    deferred = Delivery.objects.filter(run=run, retry_at__isnull=False).order_by("retry_at")
    return deferred.values_list("retry_at", flat=True).first()


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
