"""What staff do to one delivery on its page: the same as to many, and suppress its address."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from admin_ext.components.history import WHO, note_change
from admin_ext.components.object_actions import ObjectAction
from mailer.models import Delivery, Suppression
from mailer.services import control
from mailer.services.cancelling import WAITING
from mailer.states import RUN_SENDS_AGAIN, RUN_UNDER_WAY, DeliveryState, RunState
from mailer.tasks import ring_after_commit

from .resolving import LABEL as RESOLVE_LABEL
from .resolving import RETRY, ResolveForm, resolve_in, where_to_look
from .run_actions import CONTROL

SUPPRESS = "mailer.add_suppression"


class ResolveOneForm(ResolveForm):
    def can_send_again(self) -> bool:
        return self.obj.run.state in RUN_SENDS_AGAIN


def _only(delivery: Delivery) -> Any:
    return Delivery.objects.filter(pk=delivery.pk)


def _can_retry(delivery: Delivery) -> bool:
    return delivery.state == DeliveryState.FAILED and delivery.run.state in RUN_SENDS_AGAIN


def _what_retry_does(delivery: Delivery) -> str:
    words = [
        _("It is sent again to %(address)s. Nobody else gets it again.")
        % {"address": delivery.address}
    ]
    if delivery.run.state == RunState.PAUSED:
        words.append(_("The run is paused: nothing is sent until you resume it."))
    return "\n".join(words)


@transaction.atomic
def _retry(request: HttpRequest, delivery: Delivery, moment: datetime) -> str:
    by: Any = request.user
    control.retry_failed(delivery.run_id, by=by, now=timezone.now(), deliveries=_only(delivery))
    ring_after_commit()
    return _("It is sent again.")


@transaction.atomic
def _cancel(request: HttpRequest, delivery: Delivery, moment: datetime) -> str:
    by: Any = request.user
    control.cancel_waiting(delivery.run_id, by=by, now=timezone.now(), deliveries=_only(delivery))
    return _("It is cancelled.")


def _is_suppressed(delivery: Delivery) -> bool:
    return Suppression.objects.filter(address_key=bytes(delivery.address_key)).exists()


def _suppress(request: HttpRequest, delivery: Delivery, moment: datetime) -> str:
    suppression, is_new = Suppression.objects.get_or_create(
        address_key=bytes(delivery.address_key),
        defaults={
            "address": delivery.address,
            "reason": Suppression.Reason.STAFF,
            "detail": _("From run %(run)s.") % {"run": delivery.run_id},
        },
    )
    if is_new:
        did = _("%(who)s suppressed it on the page of a delivery.")
        note_change(request, suppression, did % {"who": WHO})
    return _("%(address)s gets no more mail from here.") % {"address": delivery.address}


ONE_DELIVERY_ACTIONS = (
    ObjectAction(
        name="retry",
        label=gettext_lazy("Retry…"),
        permission=RETRY,
        question=_what_retry_does,
        button=lambda delivery: _("Send it again"),
        run=_retry,
        available=_can_retry,
        why_not=lambda delivery: _("Only what has failed is sent again, in a run that still can."),
    ),
    ObjectAction(
        name="resolve",
        label=RESOLVE_LABEL,
        permission=RETRY,
        question=lambda delivery: (
            f"{_('The mail server may have taken it, or not.')}\n{where_to_look()}"
        ),
        button=lambda delivery: _("Resolve it"),
        run=lambda request, delivery, moment, values: resolve_in(
            delivery.run_id, request, values["became"], _only(delivery)
        ),
        available=lambda delivery: delivery.state == DeliveryState.UNCERTAIN,
        why_not=lambda delivery: _("It is not uncertain."),
        form_class=ResolveOneForm,
    ),
    ObjectAction(
        name="cancel",
        label=gettext_lazy("Cancel…"),
        permission=CONTROL,
        question=lambda delivery: (
            _("%(address)s does not get it. This cannot be undone.")
            % {"address": delivery.address}
        ),
        button=lambda delivery: _("Cancel this delivery"),
        run=_cancel,
        available=lambda delivery: (
            delivery.state in WAITING and delivery.run.state in RUN_UNDER_WAY
        ),
        why_not=lambda delivery: _("It does not wait any more."),
        dangerous=True,
    ),
    ObjectAction(
        name="suppress",
        label=gettext_lazy("Suppress address…"),
        permission=SUPPRESS,
        question=lambda delivery: (
            _("%(address)s gets no more mail from any mailing, until somebody deletes its"
              " suppression.") % {"address": delivery.address}
        ),
        button=lambda delivery: _("Suppress this address"),
        run=_suppress,
        available=lambda delivery: bool(delivery.address) and not _is_suppressed(delivery),
        why_not=lambda delivery: _("It is suppressed already."),
        dangerous=True,
    ),
)  # fmt: skip
