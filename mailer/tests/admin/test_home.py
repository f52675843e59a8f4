"""Home and the navigation: what is going out, what needs somebody, what is next."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from admin_ext.heartbeats import Process, record_heartbeat
from admin_ext.models import Heartbeat, ProcessKind
from mailer.engine.sender import Outcome, RelayTrouble
from mailer.models import Batch, Delivery, Mailing, Relay, Run
from mailer.services.throughput import rate_of
from mailer.states import RunState
from mailer.tests import factories
from mailer.tests.ledger import Engine, send_one
from site_config.admin_site import NAVIGATION

from .conftest import World, page

pytestmark = pytest.mark.database


def home(client: Client) -> str:
    return client.get("/admin/").content.decode()


def needs(client: Client) -> list[str]:
    return [need["words"] for need in client.get("/admin/").context["needs"]]


@pytest.fixture
def _worker(db: None) -> None:
    record_heartbeat(
        Process(kind=ProcessKind.WORKER, name="mail@host", started_at=timezone.now(), processes=2)
    )


def test_an_empty_site_says_what_to_do_first(admin: Client) -> None:
    shown = home(admin)
    assert "First steps" in shown
    for name in ("relay", "mailinglist", "message", "mailing"):
        assert f'class="button" href="{page(name, "add")}"' in shown
    factories.make_list()
    shown = home(admin)
    assert f'class="button" href="{page("mailinglist", "add")}"' not in shown
    assert f'class="button" href="{page("message", "add")}"' in shown


def test_steps_are_for_those_who_may_take_them(login: Callable[..., Client]) -> None:
    assert "First steps" not in home(login("view"))
    assert home(login("view", "add_message")).count('class="button"') == 1


def test_home_says_what_is_going_out(admin: Client, world: World) -> None:
    shown = home(admin)
    assert f"<bdi>Weekly news</bdi> · run {world.run.pk}" in shown
    assert '<progress max="7"' in shown
    Run.objects.update(state=RunState.FINISHED)
    assert "Nothing is being sent at the moment." in home(admin)


@pytest.mark.usefixtures("_worker")
def test_home_says_what_needs_somebody(admin: Client, world: World) -> None:
    assert needs(admin) == [
        "2 deliveries of the last 14 days failed. They can be sent again from their runs' pages.",
        "1 delivery is uncertain: the mail server may have taken it.",
    ]
    for need in admin.get("/admin/").context["needs"]:
        assert list(admin.get(need["url"]).context["cl"].result_list) == [world.run]
    Run.objects.update(state=RunState.PAUSED, reason="Too many were refused.")
    Relay.objects.update(
        paused_until=timezone.now() + timedelta(minutes=10, seconds=1), pause_reason="421 busy"
    )
    said = needs(admin)
    assert said[0] == f"“Weekly news”, run {world.run.pk}, is paused. Too many were refused."
    assert said[-1] == "The relay “Provider” takes nothing; it is tried again in 10 min. 421 busy"


def test_home_says_that_nothing_that_sends_is_alive(admin: Client) -> None:
    assert needs(admin) == [
        "Nothing that sends mail is running. Whoever runs this site has to start it."
    ]
    record_heartbeat(
        Process(kind=ProcessKind.WORKER, name="mail@host", started_at=timezone.now(), processes=2)
    )
    assert needs(admin) == []
    Heartbeat.objects.update(seen_at=timezone.now() - timedelta(minutes=3))
    assert needs(admin)[0].startswith("Nothing that sends mail has been seen since 3 min ago.")


def test_home_says_what_is_next(admin: Client, world: World) -> None:
    due = timezone.now() + timedelta(hours=3)
    Mailing.objects.update(next_due_at=due)
    assert "in 3 h" in home(admin)
    Mailing.objects.update(enabled=False)
    assert "No mailing has a schedule that is on." in home(admin)


def test_home_shows_nobody_more_than_he_may_see(login: Callable[..., Client], world: World) -> None:
    shown = home(login())
    for words in ("Weekly news", "failed", "uncertain", "Going out", "Next"):
        assert words not in shown


def test_home_takes_as_many_queries_however_much_there_is(admin: Client, world: World) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            home(admin)
        return len(queries)

    for _ in range(5):
        factories.make_run(recipients=2)
    home(admin)
    before = count()
    for _ in range(8):
        factories.make_run(recipients=2)
        factories.make_mailing(recipients=1, enabled=True)
    assert count() == before
    assert before < 40


def test_the_navigation_holds_every_model_in_its_group(admin: Client) -> None:
    named = {label for _slug, _name, labels in NAVIGATION for label in labels}
    shown = admin.get("/admin/").context["app_list"]
    assert [group["name"] for group in shown] == ["Mail", "People", "Engine room", "Site"]
    assert sum(len(group["models"]) for group in shown) == len(named)
    assert "Roles" in [model["name"] for model in shown[-1]["models"]]
    assert named <= {model._meta.label for model in django_admin.site._registry}


def test_the_navigation_shows_what_one_may_see(login: Callable[..., Client]) -> None:
    client = login("view_run", "view_recipient")
    shown = client.get("/admin/").context["app_list"]
    assert [(group["name"], len(group["models"])) for group in shown] == [
        ("Mail", 1),
        ("People", 1),
    ]
    assert client.get("/admin/mailer/").headers["Location"] == "/admin/"


def test_a_run_says_how_fast_it_goes_and_when_it_is_done(admin: Client) -> None:
    run = factories.make_run(recipients=100)
    now = timezone.now()
    Run.objects.update(started_at=now - timedelta(seconds=20), sent=20, pending=80)

    def pace(**fields: Any) -> str:
        Batch.objects.update(**fields)
        return admin.get(page("run", "live", run)).content.decode()

    assert "a second" not in pace(mark=1)
    Delivery.objects.filter(run=run, seq__lte=20).update(state="sent")
    sending = {"state": "sending", "token": "0" * 32, "lease_until": now + timedelta(minutes=1)}
    shown = pace(**sending, claimed_at=now - timedelta(seconds=20), mark=21)
    assert "1.0 a second" in shown
    assert "about 2 min left" in shown
    assert "done about" in shown
    # Of the window that is open nobody was tried yet.
    assert "1.0 a second" in pace(mark=41)
    # Taken up two minutes ago: a quarter of its messages went out in the last minute's half.
    Run.objects.update(started_at=now - timedelta(seconds=120))
    assert "0.2 a second" in pace(claimed_at=now - timedelta(seconds=120), mark=21)


def test_no_speed_is_said_where_nobody_was_tried(db: None, engine: Engine) -> None:
    run = factories.make_run(recipients=100)
    now = timezone.now()
    Run.objects.update(started_at=now - timedelta(seconds=20))
    engine.script = lambda _message: RelayTrouble("pause", "relay:25: 535 while logging in")
    send_one(run.batches.get(), now=now)
    Batch.objects.filter(state="done").update(claimed_at=now - timedelta(seconds=5))
    assert rate_of(run, now=now + timedelta(seconds=1)) == 0


def test_nothing_is_said_to_be_done_before_the_relay_is_tried_again(
    admin: Client, engine: Engine
) -> None:
    run = factories.make_run(recipients=100)
    now = timezone.now()
    Run.objects.update(started_at=now - timedelta(seconds=20))
    engine.script = lambda message: (
        Outcome.SENT if message.seq < 50 else RelayTrouble("pause", "relay:25: gone")
    )
    send_one(run.batches.get(), now=now)
    Batch.objects.filter(state="done").update(claimed_at=now - timedelta(seconds=5))
    url = page("run", "live", run)
    shown = admin.get(url).content.decode()
    assert "is tried again at" in shown
    assert "done about" not in shown
    Relay.objects.update(paused_until=now)
    assert "done about" in admin.get(url).content.decode()
    Batch.objects.filter(state="ready").update(not_before=now + timedelta(hours=1))
    assert "done about" not in admin.get(url).content.decode()
