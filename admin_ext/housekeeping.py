"""What has to be looked after now and then: orphans, silent processes, rows too old to be read."""

from datetime import datetime

from django_celery_results.models import TaskResult

from .attempts import close_orphans, purge_attempts
from .conf import kept_for
from .heartbeats import purge_heartbeats


def keep_house(now: datetime) -> None:
    """Close what is lost, delete what is old: a bounded piece of each, so call it often."""
    close_orphans(now)
    purge_heartbeats(now)
    purge_attempts(now - kept_for())
    purge_results(now - kept_for())


def purge_results(before: datetime, *, limit: int = 5000) -> int:
    """Delete up to `limit` results that were done before; how many.

    Celery's own clean-up deletes all of them in one transaction, which times out on a large table.
    """
    oldest = TaskResult.objects.filter(date_done__lt=before).order_by("date_done")
    pks = list(oldest.values_list("pk", flat=True)[:limit])
    deleted: int = TaskResult.objects.filter(pk__in=pks).delete()[0]
    return deleted
