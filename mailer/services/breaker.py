"""The circuit breaker: a run that is refused too often pauses itself and says why.

Staff look at the reason before the rest of the list gets the same answer, or is suppressed by it.
"""

from collections.abc import Mapping
from datetime import datetime

from django.db.models import Count, Max
from django.utils.translation import gettext as _

from admin_ext.components.numbers import format_number
from mailer.engine.verdict import POLICY
from mailer.models import Audit, Delivery, Mailing, Run
from mailer.states import DeliveryState, RunState

from .progress import Tally

#: Refused by policy, one is refused for what one is: a tenth of `breaker_after` says enough ...
POLICY_SHARE, POLICY_TRIED = 10, 10  # ... but never fewer tried ...
POLICY_REFUSED = 3  # ... nor fewer refused: a closed mailbox here and there is in every list

#: A run's counts when somebody has just decided that it goes on: what was is known to them.
NOTHING_TRIED: Mapping[str, int] = {"tried": 0, "refused": 0, "refused_by_policy": 0}


def has_tripped(tally: Tally, *, percent: float | None, after: int) -> bool:
    """Whether so many percent were refused, of `after` tried or more; percent None: never.

    By policy, it is enough earlier.
    """
    if percent is None:
        return False
    return _passes(tally, percent=percent, after=after) or _passes_by_policy(
        tally, percent=percent, after=after
    )


def break_run(run: Run, tally: Tally, *, now: datetime) -> bool:
    """Pause a run if its breaker has tripped; True when this call did it.

    Inside the transaction that counted, which holds the run's row. A run with nothing left to send
    is let through, and so is a single message.
    """
    if run.trigger == Run.Trigger.SINGLE or not tally.waiting or not _trips(run.mailing, tally):
        return False
    # What the worker read when it took its batch may have been changed since.
    mailing = Mailing.objects.get(pk=run.mailing_id)
    if not _trips(mailing, tally):
        return False
    reason = _reason(run, tally, mailing)
    broken = Run.objects.filter(pk=run.pk, state=RunState.SENDING).update(
        state=RunState.PAUSED, reason=reason[:500]
    )
    if broken:
        Audit.objects.create(run_id=run.pk, action=Audit.Action.BREAK, at=now, detail=reason[:500])
    return bool(broken)


def first_windows(run: Run) -> int | None:
    """How many messages a window may have while too few were tried to tell a refusal by policy: a
    longer one would go on past that. None when it may have any number.

    `run.tried` as it was last read or counted: the other workers' windows come on top.
    """
    if run.is_single or run.mailing.breaker_percent is None:
        return None
    enough = _tried_for_policy(run.mailing.breaker_after)
    return enough if run.tried < enough else None


def _tried_for_policy(after: int) -> int:
    return max(POLICY_TRIED, after // POLICY_SHARE)


def _trips(mailing: Mailing, tally: Tally) -> bool:
    return has_tripped(tally, percent=mailing.breaker_percent, after=mailing.breaker_after)


def _passes(tally: Tally, *, percent: float, after: int) -> bool:
    return tally.tried >= after and 100 * tally.refused >= percent * tally.tried


def _passes_by_policy(tally: Tally, *, percent: float, after: int) -> bool:
    return (
        tally.tried >= _tried_for_policy(after)
        and tally.refused_by_policy >= POLICY_REFUSED
        and 100 * tally.refused_by_policy >= percent * tally.tried
    )


def _reason(run: Run, tally: Tally, mailing: Mailing) -> str:
    """One sentence with the numbers and the commonest reply, and what to do."""
    by_policy = not _passes(
        tally, percent=mailing.breaker_percent or 0, after=mailing.breaker_after
    )
    refused = tally.refused_by_policy if by_policy else tally.refused
    words = (
        _("%(n)s of the %(tried)s tried (%(share)s) were refused by policy")
        if by_policy
        else _("%(n)s of the %(tried)s tried (%(share)s) were refused")
    ) % {
        "n": format_number(refused),
        "tried": format_number(tally.tried),
        "share": _percent(refused, tally.tried),
    }
    if problem := _commonest_problem(run, by_policy=by_policy):
        words = _("%(words)s, most often with “%(problem)s”") % {"words": words, "problem": problem}
    todo = _("Look at why below, then resume or cancel it.")
    return _("Paused by itself: %(words)s. %(todo)s") % {"words": words, "todo": todo}


def _percent(part: int, whole: int) -> str:
    share = round(100 * part / whole, 1)
    digits = format_number(share, decimals=0 if share.is_integer() else 1)
    return f"{digits}\N{NO-BREAK SPACE}%"


def _commonest_problem(run: Run, *, by_policy: bool) -> str | None:
    """What most were refused with since somebody last decided that the run goes on."""
    decisions = [Audit.Action.RESUME, Audit.Action.RETRY, Audit.Action.RESOLVE]
    since = run.audits.filter(action__in=decisions).aggregate(at=Max("at"))["at"]
    refused = Delivery.objects.filter(run=run, state=DeliveryState.FAILED, problem__isnull=False)
    if since:
        refused = refused.filter(settled_at__gt=since)
    if by_policy:
        refused = refused.filter(enhanced_status__startswith=POLICY)
    problems = refused.values_list("problem").annotate(n=Count("pk")).order_by("-n", "problem")
    first = problems.first()
    return first[0] if first else None
