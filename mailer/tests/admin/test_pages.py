"""Every page: what it shows, under the strict CSP, and with few queries however many rows."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_results.models import TaskResult

from mailer.engine.sender import Outcome
from mailer.models import (
    Audit,
    Batch,
    Delivery,
    Mailing,
    MailingList,
    Message,
    Recipient,
    Relay,
    Run,
    Suppression,
)
from mailer.services.control import cancel_run, pause_run, resolve_uncertain, retry_failed
from mailer.states import DeliveryState
from mailer.tests import factories
from mailer.tests.ledger import Engine, send_all

from .conftest import World, page
from .test_permissions import ACTIONS, OBJECTS

pytestmark = pytest.mark.database


class InlineCode(HTMLParser):
    """Collects what a strict CSP would not run or apply."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in given):
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            if name == "style" or name.startswith("on") or (value or "").startswith("javascript:"):
                self.found.append(f"<{tag} {name}={value}>")


def _urls(world: World) -> dict[str, str]:
    urls = {"home": "/admin/", "app": "/admin/mailer/"}
    for model, name in OBJECTS.items():
        urls[f"{model} list"] = page(model, "changelist")
        urls[f"{model} page"] = page(model, "change", getattr(world, name))
        if model in {"recipient", "mailinglist", "message", "relay", "mailing", "subscription"}:
            urls[f"{model} add"] = page(model, "add")
    for model, view, _permission in ACTIONS:
        urls[f"{model} {view}"] = page(model, view, getattr(world, OBJECTS[model]))
    urls["run live"] = page("run", "live", world.run)
    urls["suppression delete"] = page("suppression", "delete", world.suppression)
    urls["recipient delete"] = page("recipient", "delete", world.recipient)
    return urls


def test_no_page_holds_inline_code(admin: Client, world: World) -> None:
    for name, url in _urls(world).items():
        response = admin.get(url)
        if response.status_code == 302:
            continue  # an action that is not possible in this world
        assert response.status_code == 200, name
        policy = response.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        inline = InlineCode()
        inline.feed(response.content.decode())
        assert inline.found == [], name


def test_the_form_with_errors_holds_no_inline_code(admin: Client) -> None:
    for model in ("mailing", "message", "relay", "recipient"):
        inline = InlineCode()
        inline.feed(admin.post(page(model, "add"), {"schedule_kind": "weekly"}).content.decode())
        assert inline.found == []


def test_the_run_page_tells_what_became_of_it(admin: Client, world: World) -> None:
    batch = Batch.objects.get(run=world.run)
    Batch.objects.filter(pk=batch.pk).update(task_id="the-task")
    result = TaskResult.objects.create(task_id="the-task", status="SUCCESS")
    shown = admin.get(page("run", "change", world.run)).content.decode()
    assert "Weekly news · run" in shown
    assert re.search(r'<progress max="7" value="6"', shown)
    for state, count in {"sent": 3, "failed": 2, "deferred": 1, "uncertain": 1}.items():
        link = f"run__id__exact={world.run.pk}&amp;state__exact={state}"
        assert re.search(rf"{link}.*?<strong>{count}</strong>", shown), state
    assert "The mailbox does not exist." in shown
    assert 'data-live-stage="sending failed uncertain"' in shown
    assert "The mail server may have taken these" in shown
    assert "Asked for from the command line" in shown
    assert "data-live-done" not in shown
    assert f"/taskresult/{result.pk}/" in shown


def test_the_live_part_is_what_the_page_shows(admin: Client, world: World) -> None:
    whole = admin.get(page("run", "change", world.run)).content.decode()
    part = admin.get(page("run", "live", world.run))
    assert part.headers["Content-Type"].startswith("text/html")
    assert f'data-live="{page("run", "live", world.run)}"' in whole
    assert "<progress" in part.content.decode()
    assert "<html" not in part.content.decode()
    assert admin.get(page("run", "live", factories.make_run(recipients=0))).content.count(
        b"data-live-done"
    )


@pytest.mark.parametrize("model", [MailingList, Message, Mailing, Relay, Recipient])
def test_names_that_reorder_the_text_around_them_are_refused(model: Any) -> None:
    field = model._meta.get_field("name")
    for bad in ("News\u202e", "\u2066News", "a\nb", "a\x85b"):
        with pytest.raises(ValidationError, match="control characters"):
            field.clean(bad, None)
    assert field.clean("חדשות\u200f 5", None)


def test_a_name_from_right_to_left_keeps_to_itself(admin: Client, world: World) -> None:
    Mailing.objects.filter(pk=world.mailing.pk).update(name="חדשות")
    shown = admin.get(page("run", "change", world.run)).content.decode()
    assert f"<h1><bdi>חדשות</bdi> · run {world.run.pk}</h1>" in shown
    assert "<bdi>חדשות</bdi> · run" in admin.get(page("run", "changelist")).content.decode()


def test_a_paused_run_says_why(admin: Client, world: World) -> None:
    pause_run(world.run.pk, by=None, now=timezone.now())
    shown = admin.get(page("run", "change", world.run)).content.decode()
    assert "Paused by staff." in shown
    assert "/do/resume/" in shown
    assert "/do/pause/" not in shown


def test_a_run_whose_relay_is_paused_says_what_it_waits_for(admin: Client, world: World) -> None:
    until = timezone.now() + timedelta(minutes=5)
    Relay.objects.update(paused_until=until, pause_reason="smtp.p.example: 421 busy")
    shown = admin.get(page("run", "live", world.run)).content.decode()
    clock = timezone.localtime(until).strftime("%H:%M")
    # With the day, in the minutes before midnight.
    waits = rf"Waits for the relay “Provider”, which is tried again at (\d+ \w+, )?{clock}"
    assert re.search(rf"{waits}: smtp\.p\.example: 421 busy", shown)
    Relay.objects.update(paused_until=timezone.now() - timedelta(seconds=1))
    assert "Waits for" not in admin.get(page("run", "live", world.run)).content.decode()
    Relay.objects.update(paused_until=until)
    pause_run(world.run.pk, by=None, now=timezone.now())
    assert "Waits for" not in admin.get(page("run", "live", world.run)).content.decode()


def test_a_run_says_when_it_tries_again(admin: Client, world: World) -> None:
    url, now = page("run", "live", world.run), timezone.now()
    deferred = Delivery.objects.filter(run=world.run, state="deferred")
    deferred.update(retry_at=now + timedelta(minutes=4, seconds=5))
    clock = timezone.localtime(now + timedelta(minutes=4, seconds=5)).strftime("%H:%M")
    words = f"Next try of the 1 that was put off: in 4 min ({clock})."
    assert words in admin.get(url).content.decode()
    Run.objects.update(expires_at=now + timedelta(minutes=3, seconds=5))
    over = timezone.localtime(now + timedelta(minutes=3, seconds=5)).strftime("%H:%M")
    assert (
        f"The 1 that was put off is given up in 3 min ({over})" in admin.get(url).content.decode()
    )
    delivery = admin.get(page("delivery", "change", deferred.get())).content.decode()
    assert "is given up in 3 min: its next try would be later." in delivery
    assert "in 4 min" not in delivery
    pause_run(world.run.pk, by=None, now=now)
    assert "put off" not in admin.get(url).content.decode()


def test_the_next_try_is_one_query_however_many_wait(admin: Client, engine: Engine) -> None:
    def count(run: Run) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert ("put off" in admin.get(page("run", "live", run)).content.decode()) is bool(
                run.deferred
            )
        return len(queries)

    run = factories.make_run(recipients=31)
    engine.script = lambda m: Outcome.DEFERRED if m.seq == 1 else Outcome.UNCERTAIN
    send_all(run)
    run.refresh_from_db()
    few = count(run)
    resolve_uncertain(run.pk, to=DeliveryState.PENDING, by=None, now=factories.NOW)
    engine.script = lambda _message: Outcome.DEFERRED
    send_all(run)
    Audit.objects.all().delete()
    run.refresh_from_db()
    assert run.deferred == 31
    assert count(run) == few
    Delivery.objects.filter(run=run).update(state="sent", retry_at=None)
    Run.objects.filter(pk=run.pk).update(deferred=0, sent=31)
    run.refresh_from_db()
    assert count(run) < few


def test_a_cancelled_run_shows_what_was_sent_of_all(admin: Client, world: World) -> None:
    cancel_run(world.run.pk, by=None, now=timezone.now())
    run = factories.make_run(recipients=4)
    cancel_run(run.pk, by=None, now=timezone.now())
    assert '<progress max="4" value="0"' in admin.get(page("run", "live", run)).content.decode()
    shown = admin.get(page("run", "live", world.run)).content.decode()
    assert "6 of 7 · 86\N{NO-BREAK SPACE}%" in shown


def test_batches_tell_their_number_of_deliveries(admin: Client, world: World) -> None:
    Batch.objects.filter(pk=world.batch.pk).update(first_seq=3804, mark=3804, last_seq=3950)
    for model, obj in (("run", world.run), ("batch", world.batch)):
        shown = admin.get(page(model, "change", obj)).content.decode()
        assert "147" in shown
        assert "3,804" not in shown
        assert "3804" not in shown


def test_a_mailing_that_has_gone_out_is_over(admin: Client) -> None:
    mailing = factories.make_mailing(schedule_kind="once", schedule_anchor=factories.NOW)
    url = page("mailing", "changelist")
    for enabled, due, words in (
        (True, None, "Over"),
        (True, factories.NOW, "On"),
        (False, None, "Off"),
    ):
        Mailing.objects.filter(pk=mailing.pk).update(enabled=enabled, next_due_at=due)
        assert f">{words}</span>" in admin.get(url).content.decode()


def test_far_days_are_told_in_one_way_and_in_the_schedules_zone(admin: Client) -> None:
    mailing = factories.make_mailing(
        enabled=True,
        schedule_kind="once",
        schedule_zone="America/New_York",
        schedule_anchor=datetime(2099, 3, 14, 2, 0, tzinfo=UTC),
    )
    shown = admin.get(page("mailing", "change", mailing)).content.decode()
    assert "The first one: 13 Mar 2099." in shown
    assert "Fri 13 Mar 2099, 22:00 EDT" in shown
    assert ">13 Mar 2099<" in admin.get(page("mailing", "changelist")).content.decode()


def test_no_page_of_ours_shows_another_date_format(admin: Client, world: World) -> None:
    stray = re.compile(r"(noon|midnight|a\.m\.|p\.m\.|[A-Z][a-z]{2,8}\.? \d{1,2}, \d{4})")
    for name, url in _urls(world).items():
        main = admin.get(url).content.decode().partition("<main")[2]
        assert not stray.search(main), name


@pytest.mark.parametrize("state", ["scheduled", "preparing"])
def test_a_run_that_has_not_begun_says_why(admin: Client, state: str) -> None:
    run = factories.make_run(recipients=0)
    Run.objects.filter(pk=run.pk).update(state=state, reason="The database was gone.")
    assert "The database was gone." in admin.get(page("run", "live", run)).content.decode()


def test_a_run_that_waits_for_the_one_before_names_it(admin: Client, world: World) -> None:
    Run.objects.filter(pk=world.run.pk).update(first_pass_finished_at=None)
    now = timezone.now()
    later = Run.objects.create(
        mailing=world.mailing, slot=now, trigger=Run.Trigger.STAFF, created_at=now
    )
    shown = admin.get(page("run", "live", later)).content.decode()
    assert f"Waits for run {world.run.pk}, which is still going." in shown


@pytest.mark.parametrize(
    ("count", "words"),
    [(1700, "an interruption after 3 of 7 were sent, 1,700 uncertain."),
     (0, "The run was taken over after an interruption after 3 of 7 were sent.<")],
)  # fmt: skip
def test_an_interruption_is_told_without_the_engine_rooms_words(
    admin: Client, world: World, count: int, words: str
) -> None:
    Audit.objects.create(
        run=world.run,
        action=Audit.Action.TAKE_OVER,
        at=timezone.now(),
        count=count,
        detail="Worker w1@host was lost.",
    )
    shown = admin.get(page("run", "live", world.run)).content.decode()
    assert words in shown
    assert "worker" not in shown.lower()


def test_batches_are_for_the_engine_room(world: World, login: Any) -> None:
    client: Client = login("view_run")
    shown = client.get(page("run", "change", world.run)).content.decode()
    assert "Engine room" not in shown.partition("<main")[2]


def test_replies_are_for_those_who_may_see_deliveries(world: World, login: Any) -> None:
    told = f"<{world.delivery.address}>: Recipient address rejected"
    Delivery.objects.filter(run=world.run, problem="554 5.7.1").update(reply=told)
    urls = [page("run", "change", world.run), page("run", "live", world.run)]
    link = page("delivery", "changelist")

    def shown(client: Client) -> str:
        answers = [client.get(url).content.decode() for url in (*urls, page("run", "changelist"))]
        return "".join(answer.partition("<main")[2] or answer for answer in answers)

    alone = shown(login("view_run"))
    assert "554 5.7.1" in alone
    assert "refused by policy" in alone
    assert "2 failed" in alone
    assert world.delivery.address not in alone
    assert link not in alone
    both = shown(login("view_run", "view_delivery"))
    assert world.delivery.address in both
    assert both.count("See them") > 1
    assert link in both


def test_deliveries_are_narrowed_by_the_links_of_the_run(admin: Client, world: World) -> None:
    factories.make_run(recipients=2)
    url = page("delivery", "changelist")

    def found(**query: Any) -> list[Delivery]:
        return list(admin.get(url, query).context["cl"].result_list)

    one = {"run__id__exact": world.run.pk}
    assert len(found()) == 9
    assert [delivery.seq for delivery in found(**one)] == list(range(1, 8))
    assert len(found(**one, state__exact="failed")) == 2
    assert [d.problem for d in found(**one, problem="554 5.7.1")] == ["554 5.7.1"]
    assert len(found(**one, state__exact="sent")) == 3
    address = world.delivery.address
    assert [d.address for d in found(q=address.upper())] == [address]
    assert [d.address for d in found(**one, q=address)] == [address]
    assert len(found(**one, q="person")) == 7
    world.delivery.recipient.delete()  # type: ignore[union-attr]
    assert [d.address for d in found(**one, q=address)] == [address]
    assert [d.address for d in found(q=address.upper())] == [address]
    assert "Only of" in admin.get(url, one).content.decode()
    assert admin.get(url, {"run__id__exact": "x"}, follow=True).status_code == 200


@pytest.mark.parametrize(
    ("model", "query"),
    [
        *(("delivery", name) for name in ("run", "run__id__exact", "recipient", "id__exact")),
        *((model, "run") for model in ("batch", "audit")),
        *(("subscription", name) for name in ("list", "recipient__id__exact", "id__in")),
        *(("mailing", name) for name in ("relay", "message", "lists")),
        ("run", "mailing"),
        ("recipient", "lists"),
    ],
)
def test_an_id_that_no_row_can_have_finds_nothing(
    admin: Client, world: World, model: str, query: str
) -> None:
    answer = admin.get(page(model, "changelist"), {query: "9" * 20})
    assert answer.status_code == 200
    assert list(answer.context["cl"].result_list) == []


def test_a_delivery_shows_each_attempt_with_its_meaning(
    admin: Client, world: World, engine: Engine
) -> None:
    failed = Delivery.objects.get(run=world.run, problem="550 5.1.1")
    retry_failed(world.run.pk, by=None, now=timezone.now(), problem="550 5.1.1")
    send_all(world.run, now=timezone.now())
    shown = admin.get(page("delivery", "change", failed)).content.decode()
    assert "The mailbox does not exist." in shown
    assert "The mail server took it." in shown
    assert shown.index(">2<") < shown.index(">1<")


def test_an_attempt_of_what_was_given_up_is_not_tried_again(admin: Client, world: World) -> None:
    Delivery.objects.filter(pk=world.delivery.pk).update(
        state="failed", code=451, reply="later", problem="451", attempts=1, settled_at=factories.NOW
    )
    shown = admin.get(page("delivery", "change", world.delivery)).content.decode()
    assert "It was given up" in shown
    assert "tried again" not in shown


@pytest.mark.parametrize(
    ("code", "status", "reply", "shown"),
    [
        (550, "5.1.1", "5.1.1 no such user", "550 5.1.1 no such user"),
        (550, "", "no such user", "550 no such user"),
        (550, "5.1.1", "no such user", "550 5.1.1 no such user"),
        (550, "5.1.1", "", "550 5.1.1"),
        (None, "", "the relay hung up", "the relay hung up"),
        (None, "", "", "interrupted"),
    ],
)
def test_a_delivery_shows_the_reply_with_its_code(
    admin: Client, world: World, *, code: int | None, status: str, reply: str, shown: str
) -> None:
    Delivery.objects.filter(pk=world.delivery.pk).update(
        code=code, enhanced_status=status, reply=reply, problem="interrupted"
    )
    answer = admin.get(page("delivery", "change", world.delivery))
    assert f'data-label="Reply">{shown}</td>' in answer.content.decode()


LISTS: dict[str, Any] = {
    "recipient": factories.make_recipient,
    "mailinglist": lambda: factories.make_list(recipients=1),
    "subscription": lambda: factories.make_list(recipients=1),
    "suppression": lambda: Suppression.objects.create(address=factories.make_recipient().address),
    "relay": factories.make_relay,
    "message": factories.make_message,
    "mailing": lambda: factories.make_run(recipients=1),
    "run": lambda: factories.make_run(recipients=1),
    "batch": lambda: factories.make_run(recipients=1),
    "delivery": lambda: factories.make_run(recipients=2),
    "audit": lambda: factories.make_run(recipients=1),
}


@pytest.mark.parametrize("model", LISTS)
def test_a_longer_list_takes_no_more_queries(admin: Client, model: str) -> None:
    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert admin.get(page(model, "changelist")).status_code == 200
        return len(queries)

    LISTS[model]()
    count()  # content types and the like are asked for once
    few = count()
    for _ in range(3):
        LISTS[model]()
    assert count() == few
    assert few <= 8


def test_a_larger_run_takes_no_more_queries(admin: Client, settings: Any) -> None:
    settings.MAILER_BATCH_SIZE = 2
    counts = []
    for recipients in (3, 30):
        run = factories.make_run(recipients=recipients)
        url = page("run", "change", run)
        admin.get(url)
        with CaptureQueriesContext(connection) as queries:
            admin.get(url)
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert Run.objects.count() == 2


def test_a_batch_leads_to_its_result_for_those_who_may_see_it(
    login: Callable[..., Client], world: World
) -> None:
    Batch.objects.filter(pk=world.batch.pk).update(task_id="the-task")
    result = TaskResult.objects.create(task_id="the-task", status="SUCCESS")
    url = page("batch", "change", world.batch)
    shown = login("view").get(url).content.decode()
    assert "the-task" in shown
    assert f"/taskresult/{result.pk}/" not in shown
    client = login("view")
    user = User.objects.latest("pk")
    user.user_permissions.add(Permission.objects.get(codename="view_taskresult"))
    assert f"/taskresult/{result.pk}/" in client.get(url).content.decode()
