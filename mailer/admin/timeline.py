"""What happened to a run and when, as sentences: from its audit, and from what it knows itself."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from admin_ext.components.history import SHOWN, Happening, name_of
from admin_ext.components.numbers import format_number
from mailer.models import Audit, Mailing, Run

from .permissions import may_see_deliveries

_A = Audit.Action
#: %(run)s is "the run", or "run 14" among others.
_DONE = {
    _A.START: gettext_lazy("%(who)s started %(run)s"),
    _A.PAUSE: gettext_lazy("%(who)s paused %(run)s"),
    _A.RESUME: gettext_lazy("%(who)s resumed %(run)s"),
    _A.CANCEL: gettext_lazy("%(who)s cancelled %(run)s and %(deliveries)s of it"),
    _A.CANCEL_SOME: gettext_lazy("%(who)s cancelled %(deliveries)s of %(run)s"),
    _A.FINISH: gettext_lazy("%(Run)s was finished"),
    _A.RETRY: gettext_lazy("%(who)s had %(deliveries)s of %(run)s sent again"),
    _A.RESOLVE: gettext_lazy("%(who)s said what became of %(deliveries)s of %(run)s"),
    _A.EXPORT: gettext_lazy("%(who)s downloaded %(deliveries)s of %(run)s"),
    _A.HOLD: gettext_lazy("%(Run)s was stopped, because the relay refuses its sender"),
    _A.BREAK: gettext_lazy("%(Run)s paused itself"),
    _A.TAKE_OVER: gettext_lazy("%(Run)s was taken over after an interruption"),
}
#: Where how far it was says something.
_UNDER_WAY = {
    _A.PAUSE, _A.RESUME, _A.CANCEL, _A.CANCEL_SOME, _A.RETRY, _A.HOLD, _A.BREAK, _A.TAKE_OVER,
}  # fmt: skip
#: Their detail is no sentence.
_ASIDE = {_A.RETRY, _A.EXPORT}


def timeline_of(run: Run, request: HttpRequest) -> list[Happening]:
    """All of one run, in the order in which it happened."""
    audits = list(run.audits.select_related("actor").order_by("id"))
    ends = {entry.at for entry in audits if entry.action in {_A.CANCEL, _A.FINISH}}
    for entry in audits:
        entry.run = run  # and not once more from the database
    told = [*happenings_of(audits, request), *_own_events(run, told=ends)]
    return sorted(told, key=lambda happening: happening.at)


def happenings_of_mailing(
    mailing: Mailing, request: HttpRequest, *, before: datetime | None
) -> Iterator[Happening]:
    """What was done to any run of a mailing, the newest of it."""
    found: QuerySet[Audit] = Audit.objects.filter(run__mailing=mailing)
    if before is not None:
        found = found.filter(at__lt=before)
    entries = found.select_related("actor", "run").order_by("-at", "-id")[: SHOWN + 1]
    return happenings_of(entries, request, each=True)


def happenings_of(
    entries: Iterable[Audit], request: HttpRequest, *, each: bool = False
) -> Iterator[Happening]:
    """A sentence for each entry of the audit; `each` names its run."""
    seen = may_see_deliveries(request)
    for entry in entries:
        run = _("run %(run)s") % {"run": entry.run_id} if each else _("the run")
        yield Happening(entry.at, _sentence(entry, run, with_detail=seen or _is_harmless(entry)))


def _is_harmless(entry: Audit) -> bool:
    """A search that was downloaded may name somebody."""
    return entry.action != _A.EXPORT


def _sentence(entry: Audit, run: str, *, with_detail: bool) -> str:
    words = str(_DONE[_A(entry.action)]) % {
        "who": name_of(entry.actor) if entry.actor else _("the system"),
        "run": run,
        "Run": capfirst(run),
        "deliveries": _how_many(entry.count),
    }
    if far := _how_far(entry):
        words = f"{words} {far}"
    if entry.action == _A.TAKE_OVER:  # which worker it was, the audit says
        uncertain = _("%(n)s uncertain") % {"n": format_number(entry.count)}
        words = f"{words}, {uncertain}" if entry.count else words
    elif entry.detail and with_detail:
        detail = entry.detail.rstrip(".")
        words = f"{words} ({detail})" if entry.action in _ASIDE else f"{words}. {detail}"
    return f"{words}."


def _how_many(count: int) -> str:
    words = ngettext("%(n)s delivery", "%(n)s deliveries", count)
    return words % {"n": format_number(count)}


def _how_far(entry: Audit) -> str:
    """When in the run it was: "after 41,902 of 48,210 were sent"."""
    if entry.action not in _UNDER_WAY or entry.sent is None or not (entry.run and entry.run.total):
        return ""
    return _("after %(sent)s of %(total)s were sent") % {
        "sent": format_number(entry.sent),
        "total": format_number(entry.run.total),
    }


def _own_events(run: Run, *, told: set[datetime]) -> Iterator[Happening]:
    """What the run itself knows of, but for the ends that its audit tells of."""
    if run.trigger == Run.Trigger.SCHEDULE:
        yield Happening(run.created_at, _("Due by schedule."))
    elif run.trigger == Run.Trigger.COMMAND:
        yield Happening(run.created_at, _("Asked for from the command line."))
    elif run.is_single:
        yield Happening(run.created_at, _("Asked for by the site itself."))
    if run.started_at and not run.is_single:
        words = ngettext(
            "Sending to %(n)s person began.", "Sending to %(n)s people began.", run.total
        )
        yield Happening(run.started_at, words % {"n": format_number(run.total)})
    if run.first_pass_finished_at and run.first_pass_finished_at not in {run.finished_at, *told}:
        yield Happening(run.first_pass_finished_at, _("Everybody was tried once."))
    if run.finished_at and run.finished_at not in told:
        state = str(run.get_state_display())
        yield Happening(run.finished_at, f"{state}: {run.reason}" if run.reason else f"{state}.")
