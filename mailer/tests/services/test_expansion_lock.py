"""Nobody is deleted while a run is being made: no constraint looks after its deliveries."""

from threading import Thread

import pytest
from django.db import connection, transaction
from django.utils import timezone

from mailer.models import Delivery, Recipient, Run
from mailer.services.expansion import expand
from mailer.services.planning import start_now
from mailer.tests.factories import make_mailing

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("one_by_one", [True, False])
def test_who_is_deleted_meanwhile_is_gone_from_its_delivery(one_by_one: bool) -> None:
    mailing, now = make_mailing(recipients=3), timezone.now()
    run = start_now(mailing, moment=now, trigger=Run.Trigger.COMMAND, by=None, now=now)
    run.lists.set(mailing.lists.all())
    Run.objects.filter(pk=run.pk).update(state="preparing", relay=mailing.relay)
    gone = Recipient.objects.latest("pk")

    def delete() -> None:
        try:
            if one_by_one:
                gone.delete()
            else:
                Recipient.objects.filter(pk=gone.pk).delete()
        finally:
            connection.close()

    deleting = Thread(target=delete)
    with transaction.atomic():
        expand(run.pk, now=now)
        deleting.start()
        deleting.join(1)  # without the lock it is through long before
        assert deleting.is_alive()
    deleting.join()
    points_to = set(Delivery.objects.filter(run=run).values_list("recipient_id", flat=True))
    assert points_to == {None, *Recipient.objects.values_list("pk", flat=True)}
    assert Recipient.objects.count() == 2
