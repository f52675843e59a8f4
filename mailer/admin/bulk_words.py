"""What was asked for many deliveries at once: what is done of it, and what workers still do."""

from collections.abc import Callable, Iterable, Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from admin_ext.components.numbers import format_number
from mailer.models import BulkAction, Run
from mailer.states import DeliveryState


def done_in_words(actions: Iterable[BulkAction], *, say: Callable[[int], str]) -> str:
    """ "2,000 deliveries are sent again. 148,000 more follow in the background …" """
    actions = list(actions)
    words = say(sum(action.done for action in actions))
    ahead = sum(action.expected - action.done for action in actions if not action.finished_at)
    if not ahead:
        return words
    rest = ngettext(
        "%(n)s more follows in the background; the page of its run shows how far it is.",
        "%(n)s more follow in the background; the page of their run shows how far it is.",
        ahead,
    )
    return f"{words} {rest % {'n': format_number(ahead)}}"


def under_way_in_words(run: Run) -> Iterator[str]:
    """What workers are still doing to the deliveries of a run."""
    for action in BulkAction.objects.unfinished().filter(run=run).order_by("pk"):
        yield _("%(what)s: %(done)s of %(expected)s done.") % {
            "what": _what(action),
            "done": format_number(action.done),
            # Counted when it was asked for; more may have come since.
            "expected": format_number(max(action.done, action.expected)),
        }


def _what(action: BulkAction) -> str:
    if action.kind != BulkAction.Kind.RESOLVE:
        return str(action.get_kind_display())
    words = {
        DeliveryState.SENT: _("Counting what was uncertain as sent"),
        DeliveryState.FAILED: _("Counting what was uncertain as failed"),
        DeliveryState.PENDING: _("Sending again what was uncertain"),
    }
    return words[DeliveryState(action.to)]
