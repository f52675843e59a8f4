"""How fast a run goes and when it is done, in words."""

from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from admin_ext.components.numbers import format_number
from admin_ext.components.times import format_span
from mailer.models import Run
from mailer.services.estimating import estimate_rest
from mailer.services.throughput import is_moving, rate_of
from mailer.states import RunState

from .limit_words import clock_time


def pace_in_words(run: Run, *, now: datetime) -> list[str]:
    """["1,240 a second", "about 3 min left", "done about 09:04"]; [] when nothing is sent, or all
    waits for what nobody knows the end of."""
    if run.state != RunState.SENDING or not run.pending or not is_moving(run, now=now):
        return []
    rate = rate_of(run, now=now)
    limited = estimate_rest(run, messages=run.pending, now=now)
    spans = [limited] if limited else []
    if rate:
        spans.append(timedelta(seconds=run.pending / rate))
    words = [_("%(rate)s a second") % {"rate": _rate(rate)}] if rate >= 0.05 else []
    if spans:
        rest = max(spans)
        words.append(_("about %(span)s left") % {"span": format_span(rest)})
        if rest < timedelta(days=365):
            words.append(_("done about %(time)s") % {"time": clock_time(now + rest, now=now)})
    return words


def _rate(rate: float) -> str:
    return format_number(round(rate)) if rate >= 10 else f"{rate:.1f}"
