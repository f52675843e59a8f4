"""How many a mailing would go to now, and who is left out: the rules of services.expansion."""

from typing import NamedTuple

from django.db.models import Case, Count, Exists, OuterRef, QuerySet, Value, When

from mailer.models import Mailing, Recipient, Subscription, Suppression
from mailer.states import SubscriptionState

_GETS_IT = ""


class Audience(NamedTuple):
    """`left_out` counts by reason: suppressed, unconfirmed or unsubscribed, as Run.left_out."""

    recipients: int
    left_out: dict[str, int]


def count_audience(mailing: Mailing) -> Audience:
    """Count the people of a mailing's lists, each once; one query."""
    on_a_list, suppressed = _on_a_list(mailing), _suppressed()
    why = Case(
        When(Exists(suppressed), then=Value("suppressed")),
        When(Exists(on_a_list.filter(state=SubscriptionState.SUBSCRIBED)), then=Value(_GETS_IT)),
        When(
            Exists(on_a_list.filter(state=SubscriptionState.UNCONFIRMED)),
            then=Value("unconfirmed"),
        ),
        default=Value("unsubscribed"),
    )
    people = Recipient.objects.filter(Exists(on_a_list)).annotate(why=why).order_by()
    counts = dict(people.values_list("why").annotate(Count("pk")))
    return Audience(counts.pop(_GETS_IT, 0), counts)


def recipients_of(mailing: Mailing) -> QuerySet[Recipient]:
    """Those whom a mailing would go to now."""
    subscribed = _on_a_list(mailing).filter(state=SubscriptionState.SUBSCRIBED)
    return Recipient.objects.filter(Exists(subscribed), ~Exists(_suppressed())).order_by()


def _on_a_list(mailing: Mailing) -> QuerySet[Subscription]:
    return Subscription.objects.filter(
        list__in=mailing.lists.values("pk"), recipient=OuterRef("pk")
    )


def _suppressed() -> QuerySet[Suppression]:
    return Suppression.objects.filter(address_key=OuterRef("address_key"))
