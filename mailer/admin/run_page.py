"""What a run's page tells: counts, why some did not arrive, and what happened when."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django_celery_results.models import TaskResult

from admin_ext.components.numbers import format_number
from admin_ext.components.times import relative_time
from mailer.models import COUNTERS, Audit, Run
from mailer.services.left_out import left_out_in_words
from mailer.services.planning import run_before
from mailer.services.reporting import failures_by_reply, next_try
from mailer.states import RUN_FINAL, BatchState, DeliveryState, RunState

from .bulk_words import under_way_in_words
from .limit_words import clock_time, providers_in_words, relays_in_words
from .pace_words import pace_in_words
from .permissions import may_see_deliveries, may_see_results
from .resolving import RETRY
from .run_actions import can_retry
from .schedule_words import moment_in_words
from .timeline import timeline_of

BATCHES_SHOWN = 25


def describe_run(run: Run, request: HttpRequest) -> dict[str, Any]:
    """What the live part of the page shows; a few queries, whatever the run's size."""
    now = timezone.now()
    return {
        "run": run,
        "final": run.state in RUN_FINAL,
        "due": moment_in_words(run.slot, ZoneInfo(run.mailing.schedule_zone)),
        "waits": [*under_way_in_words(run), *_waits(run, now=now)],
        "next_try": _next_try(run, now=now),
        "pace": pace_in_words(run, now=now),
        "counts": _counts(run, request),
        "left_out": left_out_in_words(run.left_out),
        "failures": _failures(run, request),
        "timeline": timeline_of(run, request),
    }


def describe_batches(run: Run, request: HttpRequest) -> dict[str, Any]:
    """The engine room's part: the newest batches, each with its stored task result's key."""
    user: Any = request.user
    if not user.has_perm("mailer.view_batch"):
        return {"batches": None}
    batches = list(run.batches.order_by("-id")[:BATCHES_SHOWN])
    results: dict[str, int] = {}
    if may_see_results(request):
        results = results_of([batch.task_id for batch in batches if batch.task_id])
    query = urlencode({"run__id__exact": run.pk})
    return {
        "batches": [(batch, results.get(batch.task_id)) for batch in batches],
        "batches_url": f"{reverse('admin:mailer_batch_changelist')}?{query}",
    }


def results_of(task_ids: list[str]) -> dict[str, int]:
    """Keys of stored task results by their task's id."""
    return dict(TaskResult.objects.filter(task_id__in=task_ids).values_list("task_id", "pk"))


def deliveries_url(run: Run, **filters: str) -> str:
    """The list of a run's deliveries, narrowed to some of them."""
    query = urlencode({"run__id__exact": str(run.pk), **filters})
    return f"{reverse('admin:mailer_delivery_changelist')}?{query}"


def _waits(run: Run, *, now: datetime) -> list[str]:
    """What a run waits for without being paused itself."""
    if run.state == RunState.SCHEDULED and not run.reason and (earlier := run_before(run)):
        return [_("Waits for run %(run)s, which is still going.") % {"run": earlier.pk}]
    if run.state != RunState.SENDING or run.relay is None or not (run.pending or run.deferred):
        return []
    waits = [*relays_in_words(run, now=now), *providers_in_words(run, now=now)]
    return [*_put_off(run, now=now), *waits] if run.is_single else waits


def _put_off(run: Run, *, now: datetime) -> list[str]:
    """Until when a single message waits whose sender the relay refuses, and what it said."""
    why = run.audits.filter(action=Audit.Action.HOLD).order_by("-id").values("detail")[:1]
    batches = run.batches.filter(state=BatchState.READY, not_before__gt=now)
    found = batches.values_list("not_before", Subquery(why)).first()
    if found is None:
        return []
    words = _("Refused, and tried again at %(time)s: %(why)s")
    return [words % {"time": clock_time(found[0], now=now), "why": found[1] or "—"}]


def _next_try(run: Run, *, now: datetime) -> str:
    """When what was put off is tried again, or given up; "" where nothing waits for either."""
    due = next_try(run) if run.state == RunState.SENDING and run.deferred else None
    if due is None:
        return ""
    if run.expires_at and due >= run.expires_at:
        words = ngettext(
            "The %(n)s that was put off is given up %(when)s (%(time)s): its next try would be"
            " later.",
            "The %(n)s that were put off are given up %(when)s (%(time)s): their next try would be"
            " later.",
            run.deferred,
        )
        due = run.expires_at
    else:
        words = ngettext(
            "Next try of the %(n)s that was put off: %(when)s (%(time)s).",
            "Next try of the %(n)s that were put off: %(when)s (%(time)s).",
            run.deferred,
        )
    return words % {
        "n": format_number(run.deferred),
        "when": relative_time(due, now=now) if due > now else _("now"),
        "time": date_format(timezone.localtime(due), "H:i"),
    }


def _counts(run: Run, request: HttpRequest) -> list[dict[str, Any]]:
    always, linked = {"sent", "pending"}, may_see_deliveries(request)
    return [
        {
            "state": name,
            "label": DeliveryState(name).label,
            "count": getattr(run, name),
            "url": linked and deliveries_url(run, state__exact=name),
        }
        for name in ("sent", *(name for name in COUNTERS if name != "sent"))
        if getattr(run, name) or name in always
    ]


def _failures(run: Run, request: HttpRequest) -> list[dict[str, Any]]:
    user: Any = request.user
    seen, retry = may_see_deliveries(request), ""
    if can_retry(run) and user.has_perm(RETRY):
        retry = reverse("admin:mailer_run_do_retry", args=[run.pk])
    return [
        {
            **group,
            "label": DeliveryState(group["state"]).label,
            "reply": _without_status(group["reply"], group["problem"]) if seen else "",
            "url": seen
            and deliveries_url(run, state__exact=group["state"], problem=group["problem"]),
            "retry_url": retry
            and group["state"] == DeliveryState.FAILED
            and f"{retry}?{urlencode({'problem': group['problem']})}",
        }
        for group in failures_by_reply(run)
    ]


def _without_status(reply: str, problem: str) -> str:
    """ "no such user" of "5.1.1 no such user", where "550 5.1.1" stands above it."""
    return reply.removeprefix(problem.partition(" ")[2]).strip()
