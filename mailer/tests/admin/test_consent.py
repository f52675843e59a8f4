"""Staff changes of a subscription leave a consent record, or are refused."""

import pytest
from django.contrib.auth.models import User

from mailer.exceptions import NotPossible
from mailer.models import Consent, Subscription
from mailer.services.consent import change_subscription
from mailer.states import SubscriptionState
from mailer.tests import factories
from mailer.tests.factories import NOW

pytestmark = [pytest.mark.database, pytest.mark.django_db]

_S = SubscriptionState


def _subscription(state: SubscriptionState = _S.SUBSCRIBED) -> Subscription:
    return factories.subscribe(factories.make_recipient(), factories.make_list(), state)


def test_a_change_is_recorded_with_who_when_and_why() -> None:
    user, subscription = User.objects.create_user("anna"), _subscription()
    made = change_subscription(
        subscription, to=_S.UNSUBSCRIBED, by=user, now=NOW, evidence=" phoned "
    )
    subscription.refresh_from_db()
    assert subscription.state == _S.UNSUBSCRIBED
    assert made == subscription.consents.last()
    assert made is not None
    assert (made.state, made.source, made.evidence) == (_S.UNSUBSCRIBED, "staff", "phoned")
    assert (made.recorded_by, made.recorded_at) == (user, NOW)


def test_no_change_leaves_no_record() -> None:
    subscription = _subscription()
    assert (
        change_subscription(subscription, to=_S.SUBSCRIBED, by=None, now=NOW, evidence="") is None
    )
    assert subscription.consents.count() == 1


def test_a_new_subscription_is_saved_with_its_record() -> None:
    subscription = Subscription(recipient=factories.make_recipient(), list=factories.make_list())
    made = change_subscription(subscription, to=_S.SUBSCRIBED, by=None, now=NOW, evidence="")
    assert made is not None
    assert made.subscription_id == subscription.pk


def test_coming_back_takes_evidence() -> None:
    subscription = _subscription(_S.UNSUBSCRIBED)
    with pytest.raises(NotPossible, match="unsubscribed"):
        change_subscription(subscription, to=_S.SUBSCRIBED, by=None, now=NOW, evidence=" ")
    assert Subscription.objects.get().state == _S.UNSUBSCRIBED
    assert Consent.objects.count() == 1
    change_subscription(subscription, to=_S.SUBSCRIBED, by=None, now=NOW, evidence="their letter")
    assert Subscription.objects.get().state == _S.SUBSCRIBED


def test_the_database_and_not_the_object_at_hand_says_what_was() -> None:
    stale = _subscription()
    Subscription.objects.update(state=_S.UNSUBSCRIBED)  # the person's own click, meanwhile
    with pytest.raises(NotPossible):
        change_subscription(stale, to=_S.SUBSCRIBED, by=None, now=NOW, evidence="")
    assert Subscription.objects.get().state == _S.UNSUBSCRIBED
