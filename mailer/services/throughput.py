"""How fast a run is going now, from when its batches were taken up and how far they came."""

from datetime import datetime, timedelta

from django.db.models import Q

from mailer.models import Run
from mailer.states import BatchState

#: What happened longer ago says little about now.
RECENT = timedelta(seconds=60)


def rate_of(run: Run, *, now: datetime) -> float:
    """Messages a second over the last minute, tried ones of any outcome; 0.0 when nothing moves."""
    batches = run.batches.filter(
        Q(state=BatchState.SENDING) | Q(finished_at__gte=now - RECENT), claimed_at__isnull=False
    ).values_list("first_seq", "mark", "claimed_at", "finished_at")
    since = max(now - RECENT, run.started_at or now)
    messages = 0.0
    for first, mark, claimed, finished in batches:
        end = finished or now
        begun = claimed or end
        took = max((end - begun).total_seconds(), 0.001)
        within = max((end - max(begun, since)).total_seconds(), 0.0)
        messages += (mark - first) * min(within / took, 1.0)
    span = (now - since).total_seconds()
    return messages / span if span > 0 else 0.0
