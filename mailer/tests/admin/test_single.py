"""Single messages on the pages: out of the way of mailings, and told apart from them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mailer.admin.limit_words import clock_time
from mailer.models import Delivery, Mailing
from mailer.services import send_one
from mailer.services.relays import put_off
from mailer.tests import factories
from mailer.tests.ledger import send_all

from .conftest import World, form_data, page, said

pytestmark = pytest.mark.database

RESET = {"subject": "New password", "html": "", "text": "Follow {{ link }}"}


@pytest.fixture
def single(world: World) -> Delivery:
    message = factories.make_message("Password reset", **RESET)
    return ask(message, "1")


def ask(message: Any, key: str) -> Delivery:
    variables = {"link": "https://a.example/secret"}
    return send_one(message, "ann@b.example", variables, idempotency_key=key, now=timezone.now())


def test_the_list_of_runs_hides_them_unless_asked(admin: Client, single: Delivery) -> None:
    url = page("run", "changelist")
    shown = {
        kind: admin.get(url, {"kind": kind} if kind else {}).content.decode()
        for kind in ("", "single", "all")
    }
    assert {k: "<bdi>Weekly news</bdi>" in html for k, html in shown.items()} == {
        "": True,
        "single": False,
        "all": True,
    }
    assert {k: "<bdi>Password reset</bdi>" in html for k, html in shown.items()} == {
        "": False,
        "single": True,
        "all": True,
    }
    assert "Single messages" in shown[""]
    assert ">Mailings</a>" in shown[""]


def test_the_list_takes_as_many_queries_however_many_there_are(
    admin: Client, single: Delivery
) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            admin.get(page("run", "changelist"), {"kind": "all"})
        return len(queries)

    count()  # what is read once
    before = count()
    for key in "abcde":
        ask(single.run.mailing.message, key)
    assert count() == before


def test_its_run_page_says_what_it_is(admin: Client, single: Delivery) -> None:
    shown = admin.get(page("run", "change", single.run)).content.decode()
    assert "one message, asked for by the site" in shown
    assert "Asked for by the site itself" in shown
    assert "people began" not in shown
    assert "/do/pause/" in shown
    send_all(single.run)
    assert "data-live-done" in admin.get(page("run", "live", single.run)).content.decode()


def test_its_run_page_says_that_it_was_put_off_and_why(admin: Client, single: Delivery) -> None:
    now, url = timezone.now(), page("run", "live", single.run)
    assert "Refused" not in admin.get(url).content.decode()
    single.run.started_at = now - timedelta(minutes=10)
    put_off(single.run, reason="relay:25: 550 5.7.1 sender rejected", now=now)
    until = clock_time(now + timedelta(minutes=10), now=now)
    words = f"Refused, and tried again at {until}: relay:25: 550 5.7.1 sender rejected"
    assert words in admin.get(url).content.decode()
    single.run.batches.update(not_before=now)
    assert "Refused" not in admin.get(url).content.decode()


def test_a_run_of_a_mailing_does_not_say_so(admin: Client, world: World) -> None:
    shown = admin.get(page("run", "change", world.run)).content.decode()
    assert "asked for by the site" not in shown.lower()


def test_what_was_filled_in_is_no_business_of_staff(admin: Client, single: Delivery) -> None:
    """A link that sets a password would make its reader that person."""
    shown = admin.get(page("delivery", "change", single)).content.decode()
    assert "secret" not in shown
    assert "address, language, link, name, time_zone" in shown
    assert "deleted since" not in shown


def test_a_mailing_s_delivery_shows_what_was_filled_in(admin: Client, world: World) -> None:
    shown = admin.get(page("delivery", "change", world.delivery)).content.decode()
    assert world.delivery.variables["name"] in shown


def test_its_mailing_is_listed_as_what_it_is(admin: Client, single: Delivery) -> None:
    shown = admin.get(page("mailing", "changelist")).content.decode()
    assert "Sent by the site itself" in shown
    assert shown.count(">Off<") == 0


def test_its_form_has_no_lists_and_no_schedule(admin: Client, single: Delivery) -> None:
    mailing = single.run.mailing
    url = page("mailing", "change", mailing)
    data = form_data(admin, url)
    named = {"name", "relay", "urgent", "expires_after_hours"}
    assert named <= data.keys()
    assert data.keys().isdisjoint({"lists", "message", "enabled", "schedule_kind", "overlap"})
    relay = factories.make_relay(name="Another")
    answer = admin.post(
        url,
        {**data, "relay": relay.pk, "expires_after_hours": 3, "enabled": "on", "lists": ["1"]},
        follow=True,
    )
    assert "changed successfully" in said(answer)[0]
    mailing.refresh_from_db()
    assert (mailing.relay, mailing.expires_after_hours) == (relay, 3)
    assert (mailing.is_single, mailing.enabled, mailing.lists.count()) == (True, False, 0)
    assert mailing.message.name == "Password reset"


def test_who_may_only_look_sees_it(login: Callable[..., Client], single: Delivery) -> None:
    shown = login("view").get(page("mailing", "change", single.run.mailing)).content.decode()
    assert "Sent by the site itself" in shown
    assert 'name="relay"' not in shown


def test_it_is_not_sent_by_hand(admin: Client, single: Delivery) -> None:
    mailing = single.run.mailing
    answer = admin.get(page("mailing", "do_send_now", mailing), follow=True)
    assert "It is sent by the site itself" in said(answer)[0]
    assert "/do/send_now/" not in admin.get(page("mailing", "change", mailing)).content.decode()
    asked = {"action": "send_selected", "_selected_action": [mailing.pk]}
    shown = admin.post(page("mailing", "changelist"), asked)
    assert "goes to nobody now" in shown.content.decode()
    answer = admin.post(
        page("mailing", "changelist"), {**asked, **dict(shown.context["hidden"])}, follow=True
    )
    assert "sent by the site itself" in said(answer)[0]
    assert Mailing.objects.get(pk=mailing.pk).runs.count() == 1


def test_it_is_found_by_an_address_that_is_nobody_s(admin: Client, single: Delivery) -> None:
    factories.make_run(recipients=500).deliveries.filter(seq__lte=250).update(recipient=None)
    found = admin.get(page("delivery", "changelist"), {"q": "Ann@B.example"}).context["cl"]
    assert list(found.result_list) == [single]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE mailer_delivery")
    assert "delivery_of_nobody_by_address" in found.queryset.order_by().explain()
