"""How many a mailing would go to now, and who is left out: what services.expansion goes by."""

from collections.abc import Sequence
from typing import NamedTuple

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from mailer.models import Mailing, Recipient, Subscription, Suppression
from mailer.states import SubscriptionState

#: By the recipient's id, the order in which everything else is read: merged, and nothing to sort.
SUPPRESSED = """
SELECT z.id FROM mailer_suppression x JOIN mailer_recipient z ON z.address_key = x.address_key
"""
_GETS_IT = ""
# Everybody who is on one of the lists, and how; one walk over the subscriptions.
_BY_REASON = f"""
SELECT CASE WHEN g.id IS NOT NULL THEN 'suppressed'
            WHEN o.subscribed = 1 THEN '{_GETS_IT}'
            WHEN o.unconfirmed = 1 THEN 'unconfirmed'
            ELSE 'unsubscribed' END AS reason, COUNT(*)
FROM (SELECT s.recipient_id,
    MAX(CASE WHEN s.state = %(subscribed)s THEN 1 ELSE 0 END) AS subscribed,
    MAX(CASE WHEN s.state = %(unconfirmed)s THEN 1 ELSE 0 END) AS unconfirmed
    FROM mailer_subscription s WHERE s.list_id IN ({{lists}}) GROUP BY s.recipient_id) o
LEFT JOIN ({SUPPRESSED}) g ON g.id = o.recipient_id
GROUP BY 1
"""  # noqa: S608  # no value but keys is formatted in


class Audience(NamedTuple):
    """`left_out` counts by reason: suppressed, unconfirmed or unsubscribed, as Run.left_out."""

    recipients: int
    left_out: dict[str, int]


def count_audience(mailing: Mailing) -> Audience:
    """Count the people of a mailing's lists, each once."""
    return count_people(list(mailing.lists.values_list("pk", flat=True)))


def count_people(lists: Sequence[int]) -> Audience:
    """Count the people of these lists, by their keys, each once."""
    values = {
        "subscribed": SubscriptionState.SUBSCRIBED.value,
        "unconfirmed": SubscriptionState.UNCONFIRMED.value,
    }
    with connection.cursor() as cursor:
        cursor.execute(_BY_REASON.format(lists=keys_in_sql(lists)), values)
        counts: dict[str, int] = dict(cursor.fetchall())
    return Audience(counts.pop(_GETS_IT, 0), counts)


def keys_in_sql(keys: Sequence[int]) -> str:
    """Written out, so that PostgreSQL knows how many rows to expect."""
    return ", ".join(str(int(key)) for key in keys) or "NULL"


def recipients_of(mailing: Mailing) -> QuerySet[Recipient]:
    """Those whom a mailing would go to now."""
    subscribed = Subscription.objects.filter(
        list__in=mailing.lists.values("pk"),
        recipient=OuterRef("pk"),
        state=SubscriptionState.SUBSCRIBED,
    )
    suppressed = Suppression.objects.filter(address_key=OuterRef("address_key"))
    return Recipient.objects.filter(Exists(subscribed), ~Exists(suppressed)).order_by()
