"""What staff do to deliveries selected in a list, or to all that a filter finds."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from admin_ext.components.list_actions import ConfirmedActionsMixin, confirmed_action
from admin_ext.components.numbers import format_number
from admin_ext.components.outcome import ActionDone
from mailer.models import Delivery
from mailer.services import control
from mailer.services.cancelling import WAITING
from mailer.states import DeliveryState

from . import resolving
from .chosen import asked_query
from .run_actions import CONTROL
from .run_by_run import of_runs_in_words, run_by_run


def only_failed(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    return deliveries.filter(state=DeliveryState.FAILED, problem__isnull=False)


def only_waiting(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    return deliveries.filter(state__in=WAITING)


def what_retry_does(deliveries: QuerySet[Delivery], count: int) -> str:
    words = ngettext(
        "%(n)s failed delivery is sent again.", "%(n)s failed deliveries are sent again.", count
    ) % {"n": format_number(count)}
    note = _("Who is suppressed or has left by now is left out. Nobody else gets it again.")
    return f"{words} {of_runs_in_words(deliveries)}\n{note}"


def retry_button(count: int) -> str:
    words = ngettext("Retry %(n)s delivery", "Retry %(n)s deliveries", count)
    return words % {"n": format_number(count)}


def retry(request: HttpRequest, deliveries: QuerySet[Delivery]) -> ActionDone:
    by: Any = request.user

    def say(n: int) -> str:
        words = ngettext("%(n)s delivery is sent again.", "%(n)s deliveries are sent again.", n)
        return words % {"n": format_number(n)}

    return run_by_run(
        deliveries,
        lambda run: control.retry_failed(
            run, by=by, now=timezone.now(), deliveries=deliveries, query=asked_query(request)
        ),
        say=say,
    )


def what_cancel_does(deliveries: QuerySet[Delivery], count: int) -> str:
    words = ngettext(
        "%(n)s delivery that waits is cancelled.",
        "%(n)s deliveries that wait are cancelled.",
        count,
    ) % {"n": format_number(count)}
    note = _("What is on its way by now is not. This cannot be undone.")
    return f"{words} {of_runs_in_words(deliveries)}\n{note}"


def cancel_button(count: int) -> str:
    words = ngettext("Cancel %(n)s delivery", "Cancel %(n)s deliveries", count)
    return words % {"n": format_number(count)}


def cancel(request: HttpRequest, deliveries: QuerySet[Delivery]) -> ActionDone:
    by: Any = request.user

    def say(n: int) -> str:
        words = ngettext("%(n)s delivery is cancelled.", "%(n)s deliveries are cancelled.", n)
        return words % {"n": format_number(n)}

    return run_by_run(
        deliveries,
        lambda run: control.cancel_waiting(
            run, by=by, now=timezone.now(), deliveries=deliveries, query=asked_query(request)
        ),
        say=say,
    )


class DeliveryActionsMixin(ConfirmedActionsMixin):
    """Their declarations, for the list of deliveries."""

    actions = ("retry_selected", "cancel_selected", "resolve_selected")

    @confirmed_action(
        description=gettext_lazy("Retry failed…"),
        permission=resolving.RETRY,
        question=what_retry_does,
        button=retry_button,
        only=only_failed,
    )
    def retry_selected(
        self, request: HttpRequest, deliveries: QuerySet[Delivery], moment: datetime
    ) -> ActionDone:
        return retry(request, deliveries)

    @confirmed_action(
        description=gettext_lazy("Cancel what waits…"),
        permission=CONTROL,
        question=what_cancel_does,
        button=cancel_button,
        only=only_waiting,
        dangerous=True,
        count_may_change=True,  # they are being sent meanwhile
    )
    def cancel_selected(
        self, request: HttpRequest, deliveries: QuerySet[Delivery], moment: datetime
    ) -> ActionDone:
        return cancel(request, deliveries)

    @confirmed_action(
        description=resolving.LABEL,
        permission=resolving.RETRY,
        question=resolving.what_resolve_selected_does,
        button=resolving.resolve_button,
        form_class=resolving.ResolveSelectedForm,
        only=resolving.only_uncertain,
    )
    def resolve_selected(
        self,
        request: HttpRequest,
        deliveries: QuerySet[Delivery],
        moment: datetime,
        values: dict[str, Any],
    ) -> ActionDone:
        return resolving.resolve_selected(request, deliveries, values)
