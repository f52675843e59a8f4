"""One delivery's page: what can be done to it, and to nobody else."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from mailer.models import Audit, Delivery, Run, Suppression
from mailer.tests import factories

from .conftest import World, confirm, page, said

pytestmark = pytest.mark.database


def of(run: Run, state: str) -> Delivery:
    return run.deliveries.filter(state=state).order_by("seq")[0]


def states(run: Run) -> dict[str, int]:
    run.refresh_from_db()
    return {name: n for name, n in run.by_state.items() if n}


def test_it_alone_is_sent_again(admin: Client, world: World) -> None:
    failed = of(world.run, "failed")
    url = page("delivery", "do_retry", failed)
    assert url in admin.get(page("delivery", "change", failed)).content.decode()
    assert failed.address in admin.get(url).content.decode()
    assert said(confirm(admin, url)) == ["It is sent again."]
    assert states(world.run)["failed"] == 1
    failed.refresh_from_db()
    assert failed.state == "pending"
    assert Audit.objects.get(run=world.run, action="retry").count == 1
    again = admin.get(url, follow=True)
    assert "Only what has failed is sent again" in said(again)[0]


def test_somebody_who_is_suppressed_is_not(admin: Client, world: World) -> None:
    failed = of(world.run, "failed")
    Suppression.objects.create(address=failed.address)
    (words,) = said(confirm(admin, page("delivery", "do_retry", failed)))
    assert "left out (1 suppressed)" in words
    failed.refresh_from_db()
    assert failed.state == "failed"


def test_it_alone_is_resolved(admin: Client, world: World) -> None:
    uncertain = of(world.run, "uncertain")
    answer = confirm(admin, page("delivery", "do_resolve", uncertain), became="sent")
    assert said(answer) == ["1 delivery counts as sent."]
    uncertain.refresh_from_db()
    assert uncertain.state == "sent"


def test_in_a_run_that_is_over_it_cannot_be_sent_again_by_an_answer(
    admin: Client, world: World
) -> None:
    Run.objects.filter(pk=world.run.pk).update(state="cancelled")
    asked = admin.get(page("delivery", "do_resolve", of(world.run, "uncertain")))
    assert "They arrived" in asked.content.decode()
    assert "Send them again" not in asked.content.decode()


def test_it_alone_is_cancelled(admin: Client) -> None:
    run = factories.make_run(recipients=3)
    url = page("delivery", "do_cancel", of(run, "pending"))
    assert said(confirm(admin, url)) == ["It is cancelled."]
    assert states(run) == {"pending": 2, "cancelled": 1}


def test_its_address_is_suppressed_once(admin: Client, world: World) -> None:
    failed = of(world.run, "failed")
    url = page("delivery", "do_suppress", failed)
    assert said(confirm(admin, url)) == [f"{failed.address} gets no more mail from here."]
    suppression = Suppression.objects.get(address=failed.address)
    assert (suppression.reason, suppression.detail) == ("staff", f"From run {world.run.pk}.")
    entry = LogEntry.objects.get(object_id=suppression.pk)
    assert failed.address not in entry.change_message
    assert url not in admin.get(page("delivery", "change", failed)).content.decode()
    assert "suppressed already" in said(admin.get(url, follow=True))[0]
