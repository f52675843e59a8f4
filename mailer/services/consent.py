"""A subscription changed by staff: never without a record of what it rests on."""

from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.translation import gettext as _

from mailer.exceptions import NotPossible
from mailer.models import Consent, Subscription
from mailer.states import SubscriptionState


@transaction.atomic
def change_subscription(
    subscription: Subscription,
    *,
    to: SubscriptionState,
    by: AbstractBaseUser | None,
    now: datetime,
    evidence: str,
) -> Consent | None:
    """Set a subscription's state (a new one is saved) and record it; None when it was so already.

    Raises NotPossible when somebody who unsubscribed comes back without evidence.
    """
    before = None
    if subscription.pk is not None:
        row = Subscription.objects.select_for_update().get(pk=subscription.pk)
        before = SubscriptionState(row.state)
    subscription.state = to
    if before == to:
        return None
    if needs_evidence(before, to) and not evidence.strip():
        raise NotPossible(
            _("%(who)s unsubscribed. Write what their wish to come back rests on.")
            % {"who": subscription.recipient}
        )
    subscription.save()
    return Consent.objects.create(
        subscription=subscription,
        state=to,
        source=Consent.Source.STAFF,
        evidence=evidence.strip()[:300],
        recorded_by_id=by.pk if by else None,
        recorded_at=now,
    )


def needs_evidence(before: SubscriptionState | str | None, to: SubscriptionState | str) -> bool:
    """Whether a move has to say what it rests on: back from an unsubscribe."""
    return before == SubscriptionState.UNSUBSCRIBED and to != SubscriptionState.UNSUBSCRIBED
