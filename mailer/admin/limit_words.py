"""What a run waits for at its relays and at providers, in words."""

from collections.abc import Iterator
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mailer.models import Batch, DomainLimit, Relay, Run
from mailer.states import BatchState

LIMITS = {
    "second": gettext_lazy("its turn at “%(relay)s”"),
    "minute": gettext_lazy("the limit a minute of “%(relay)s”"),
    "hour": gettext_lazy("the hourly limit of “%(relay)s”"),
    "day": gettext_lazy("the daily limit of “%(relay)s”"),
    "warm-up": gettext_lazy("the warm-up of “%(relay)s”"),
}


def relays_in_words(run: Run, *, now: datetime) -> list[str]:
    """Which of the relays that its mail waits for take nothing now, why, and until when."""
    ready = Batch.objects.filter(run=run, state=BatchState.READY).order_by()
    keys = list(ready.values_list("relay_id", flat=True).distinct())
    words = []
    # With nothing ready, what was put off waits for the run's own.
    for relay in Relay.objects.filter(pk__in=keys or [run.relay_id or 0]).order_by("pk"):
        if relay.is_paused(now=now):
            words.append(_paused(relay, now=now))
        elif relay.waits(now=now):
            limit = LIMITS.get(relay.waits_for, LIMITS["second"]) % {"relay": relay}
            words.append(
                _("Waiting for %(limit)s until %(time)s.")
                % {"limit": limit, "time": clock_time(relay.waits_until, now=now)}
            )
    return words


def providers_in_words(run: Run, *, now: datetime) -> Iterator[str]:
    """Which providers' limits a run's mail waits for."""
    waiting = DomainLimit.objects.filter(waits_until__gt=now)
    for provider in waiting.filter(batch__run=run, batch__state=BatchState.READY).distinct():
        yield _("Mail to “%(provider)s” waits for its limit a minute until %(time)s.") % {
            "provider": provider,
            "time": clock_time(provider.waits_until, now=now),
        }


def clock_time(moment: datetime | None, *, now: datetime) -> str:
    """In the viewer's zone: "14:00", with seconds where it is near, with the day where it is
    another."""
    if moment is None:
        return "—"
    local = timezone.localtime(moment)
    if local.date() != timezone.localtime(now).date():
        return date_format(local, "j M, H:i")
    return date_format(local, "H:i:s" if (moment - now).total_seconds() < 120 else "H:i")


def _paused(relay: Relay, *, now: datetime) -> str:
    words = _("Waits for the relay “%(relay)s”, which is tried again at %(time)s") % {
        "relay": relay,
        "time": clock_time(relay.paused_until, now=now),
    }
    return f"{words}: {relay.pause_reason}" if relay.pause_reason else f"{words}."
