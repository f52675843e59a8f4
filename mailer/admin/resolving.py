"""Saying what became of uncertain deliveries: of a whole run's, or of those selected in a list."""

from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminRadioSelect
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from admin_ext.components.confirm import ObjectForm
from admin_ext.components.numbers import format_number
from admin_ext.components.object_actions import ObjectAction
from admin_ext.components.outcome import ActionDone
from mailer.models import BulkAction, Delivery, Run
from mailer.services import control
from mailer.states import RUN_SENDS_AGAIN, DeliveryState
from mailer.tasks import ring_after_commit

from .bulk_words import done_in_words
from .chosen import asked_query
from .run_by_run import of_runs_in_words, run_by_run, runs_of

RETRY = "mailer.retry_run"
LABEL = gettext_lazy("Resolve uncertain…")


class ResolveForm(ObjectForm):
    """What became of the uncertain deliveries of a run."""

    became = forms.ChoiceField(
        label=gettext_lazy("What became of them?"),
        choices=[
            (DeliveryState.SENT, gettext_lazy("They arrived")),
            (DeliveryState.FAILED, gettext_lazy("They did not arrive")),
            (DeliveryState.PENDING, gettext_lazy("Send them again (some people may get it twice)")),
        ],
        widget=AdminRadioSelect(attrs={"class": "radiolist"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["became"]
        if not self.can_send_again():
            field.choices = [
                (state, words) for state, words in field.choices if state != DeliveryState.PENDING
            ]

    def can_send_again(self) -> bool:
        return self.obj.state in RUN_SENDS_AGAIN

    def clean_became(self) -> DeliveryState:
        return DeliveryState(self.cleaned_data["became"])


class ResolveSelectedForm(ResolveForm):
    """The same of selected deliveries, which may be of several runs."""

    def can_send_again(self) -> bool:
        return not runs_of(self.obj).exclude(state__in=RUN_SENDS_AGAIN).exists()


def only_uncertain(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    return deliveries.filter(state=DeliveryState.UNCERTAIN, problem__isnull=False)


def resolve_button(count: int) -> str:
    words = ngettext("Resolve %(n)s delivery", "Resolve %(n)s deliveries", count)
    return words % {"n": format_number(count)}


def what_resolve_selected_does(deliveries: QuerySet[Delivery], count: int) -> str:
    return f"{_how_many(count)} {of_runs_in_words(deliveries)}\n{where_to_look()}"


def resolve_selected(
    request: HttpRequest, deliveries: QuerySet[Delivery], values: dict[str, Any]
) -> ActionDone:
    to = values["became"]
    return run_by_run(
        deliveries,
        lambda run: _resolve(request, run, to, deliveries),
        say=lambda n: _what_was_done(to, n),
    )


def resolve_in(
    run_id: int,
    request: HttpRequest,
    to: DeliveryState,
    deliveries: QuerySet[Delivery] | None = None,
) -> str:
    """Resolve a run's uncertain deliveries, or these of them; what was done, in words."""
    action = _resolve(request, run_id, to, deliveries)
    return done_in_words([action], say=lambda n: _what_was_done(to, n))


@transaction.atomic
def _resolve(
    request: HttpRequest,
    run_id: int,
    to: DeliveryState,
    deliveries: QuerySet[Delivery] | None = None,
) -> BulkAction:
    by: Any = request.user
    action = control.resolve_uncertain(
        run_id,
        to=to,
        by=by,
        now=timezone.now(),
        deliveries=deliveries,
        query=asked_query(request),
    )
    ring_after_commit()
    return action


def _what_resolve_does(run: Run) -> str:
    note = _(
        "Your answer counts for all of them. To answer for some, select those in the list of"
        " deliveries."
    )
    return f"{_how_many(run.uncertain)}\n{where_to_look()} {note}"


def _how_many(count: int) -> str:
    words = ngettext(
        "%(n)s delivery is uncertain: the mail server may have taken it, or not.",
        "%(n)s deliveries are uncertain: the mail server may have taken them, or not.",
        count,
    )
    return words % {"n": format_number(count)}


def where_to_look() -> str:
    """How staff find out what became of an uncertain delivery."""
    return _("Its log says which it took, by the Message-ID that each delivery's page shows.")


def _what_was_done(to: DeliveryState, n: int) -> str:
    words = {
        DeliveryState.SENT: ngettext(
            "%(n)s delivery counts as sent.", "%(n)s deliveries count as sent.", n
        ),
        DeliveryState.FAILED: ngettext(
            "%(n)s delivery counts as failed.", "%(n)s deliveries count as failed.", n
        ),
        DeliveryState.PENDING: ngettext(
            "%(n)s delivery is sent again.", "%(n)s deliveries are sent again.", n
        ),
    }
    return words[to] % {"n": format_number(n)}


RESOLVE = ObjectAction(
    name="resolve",
    label=LABEL,
    permission=RETRY,
    question=_what_resolve_does,
    button=lambda run: resolve_button(run.uncertain),
    run=lambda request, run, moment, values: resolve_in(run.pk, request, values["became"]),
    available=lambda run: run.uncertain > 0,
    why_not=lambda run: _("No delivery of this run is uncertain."),
    form_class=ResolveForm,
)
