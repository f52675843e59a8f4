"""The count before a send agrees with what the send then does."""

import itertools

import pytest

from mailer.models import Suppression
from mailer.services.audience import count_audience, recipients_of
from mailer.states import SubscriptionState
from mailer.tests import factories

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def test_every_mix_of_lists_states_and_suppression_is_counted_as_it_is_sent() -> None:
    lists = [factories.make_list(), factories.make_list()]
    outside = factories.make_list(recipients=2)
    states = [None, *SubscriptionState]
    for one, two, suppressed in itertools.product(states, states, (False, True)):
        recipient = factories.make_recipient()
        for mailing_list, state in zip(lists, (one, two), strict=True):
            if state is not None:
                factories.subscribe(recipient, mailing_list, state)
        if suppressed:
            Suppression.objects.create(address=recipient.address)
    mailing = factories.make_mailing(lists=lists)
    counted = count_audience(mailing)
    run = factories.make_run(mailing=mailing)
    assert counted == (run.total, run.left_out)
    assert set(counted.left_out) == {"suppressed", "unsubscribed", "unconfirmed"}
    assert counted.recipients == recipients_of(mailing).count() == 7
    assert outside.subscriptions.count() == 2


def test_no_list_reaches_nobody() -> None:
    assert count_audience(factories.make_mailing(lists=[])) == (0, {})


def test_it_takes_two_queries(django_assert_num_queries: object) -> None:
    mailing = factories.make_mailing(recipients=3)
    with django_assert_num_queries(2):  # type: ignore[operator]
        assert count_audience(mailing).recipients == 3
