"""A mailing is copied: all that it says, and nothing that it did."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from admin_ext.components.history import sentence_of
from mailer.models import Mailing, MailingRelay
from mailer.tests import factories

from .conftest import World, confirm, page, said

pytestmark = pytest.mark.database
#: What a copy has of its own.
OWN = {"id", "name", "enabled", "created_at", "schedule_changed_at", "next_due_at",
       "periodic_task_id"}  # fmt: skip


def test_a_copy_says_the_same_and_sends_nothing(admin: Client, world: World) -> None:
    mailing = world.mailing
    Mailing.objects.filter(pk=mailing.pk).update(urgent=True, breaker_percent=7, overlap="skip")
    further = factories.make_relay()
    MailingRelay.objects.create(mailing=mailing, relay=further, share=3)
    answer = confirm(admin, page("mailing", "do_copy", mailing))
    copy = Mailing.objects.get(name="Copy of Weekly news")
    assert answer.request["PATH_INFO"] == page("mailing", "change", copy)
    assert said(answer) == [
        "This is “Copy of Weekly news”. Change what is different; its schedule is off."
    ]
    one, other = (Mailing.objects.values().get(pk=pk) for pk in (mailing.pk, copy.pk))
    assert {name for name in one if one[name] != other[name]} <= OWN
    assert (copy.enabled, copy.next_due_at, copy.periodic_task) == (False, None, None)
    assert list(copy.lists.all()) == list(mailing.lists.all())
    assert copy.further_relays.values_list("relay", "share").get() == (further.pk, 3)
    assert not copy.runs.exists()
    entry = LogEntry.objects.get(object_id=str(copy.pk))
    assert sentence_of(entry) == "chief made it as a copy of “Weekly news”."


def test_each_copy_has_a_name_of_its_own_that_fits(admin: Client) -> None:
    mailing = factories.make_mailing(name="n" * 120, recipients=1)
    for _ in range(2):
        confirm(admin, page("mailing", "do_copy", mailing))
    names = set(Mailing.objects.exclude(pk=mailing.pk).values_list("name", flat=True))
    assert names == {f"Copy of {'n' * 112}", f"Copy 2 of {'n' * 110}"}
