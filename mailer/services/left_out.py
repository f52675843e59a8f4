"""Who of a run's deliveries is left out, and why, in words."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Case, CharField, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.lookups import IsNull
from django.utils.translation import gettext_lazy as _

from admin_ext.components.numbers import format_number
from mailer.models import Delivery, Run, Subscription, Suppression
from mailer.states import SubscriptionState

LEFT_OUT = {
    "suppressed": _("suppressed"),
    "unsubscribed": _("unsubscribed"),
    "unconfirmed": _("not confirmed"),
    "erased": _("deleted since"),
}


def with_reason(deliveries: QuerySet[Delivery], *, run_id: int, single: bool) -> QuerySet[Any]:
    """A run's deliveries, `why` saying why they may not be sent: null where they may (I5).

    `single`: of a run that is one message of the site itself. It asks for no subscription.
    """
    if single:
        stopped = _first(stopping_all().filter(address_key=OuterRef("address_key")))
        why = Case(When(IsNull(stopped, False), then=Value("suppressed")), output_field=CharField())
        return deliveries.annotate(why=why)
    # Not Exists(): PostgreSQL would read the whole table into a hash for a window of a hundred.
    suppressed = _first(Suppression.objects.filter(address_key=OuterRef("address_key")))
    subscribed = _first(
        Subscription.objects.filter(
            recipient_id=OuterRef("recipient_id"),
            state=SubscriptionState.SUBSCRIBED,
            list__in=Run.lists.through.objects.filter(run_id=run_id).values("mailinglist_id"),
        )
    )
    return deliveries.annotate(
        why=Case(
            When(IsNull(suppressed, False), then=Value("suppressed")),
            When(recipient_id=None, then=Value("erased")),
            When(IsNull(subscribed, True), then=Value("unsubscribed")),
            output_field=CharField(),
        )
    )


def stopping_all() -> QuerySet[Suppression]:
    """Suppressions that stop single messages, too: who wants no newsletters still gets receipts."""
    return Suppression.objects.exclude(reason=Suppression.Reason.UNSUBSCRIBED)


def _first(rows: QuerySet[Any]) -> Subquery:
    return Subquery(rows.order_by().values("pk")[:1])


def left_out_in_words(left_out: Mapping[str, int]) -> str:
    """{"unsubscribed": 290, "suppressed": 21} → "290 unsubscribed, 21 suppressed"."""
    ordered = sorted(left_out.items(), key=lambda item: -item[1])
    return ", ".join(
        f"{format_number(count)} {LEFT_OUT.get(reason, reason)}" for reason, count in ordered
    )
