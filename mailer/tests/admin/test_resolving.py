"""Uncertain deliveries in the admin: found by Message-ID, and resolved one by one."""

import re
from typing import Any

import pytest
from django.db import connection
from django.db.models import Count
from django.test import Client
from django.utils import timezone

from admin_ext.components.times import exact_time
from mailer.engine.sender import Outcome
from mailer.models import Audit, Delivery, Run
from mailer.services.control import cancel_run, retry_failed
from mailer.tests import factories
from mailer.tests.ledger import Engine, send_all

from .conftest import World, page, said

pytestmark = pytest.mark.database


@pytest.fixture
def runs(admin: Client, engine: Engine) -> list[Run]:
    """Two finished runs, each with 1 sent and 3 uncertain deliveries."""
    runs = [factories.make_run(recipients=4) for _ in range(2)]
    engine.script = lambda message: Outcome.SENT if message.seq == 1 else Outcome.UNCERTAIN
    for run in runs:
        send_all(run)
    return runs


def uncertain(run: Run) -> list[int]:
    found = Delivery.objects.filter(run=run, state="uncertain").order_by("seq")
    return list(found.values_list("pk", flat=True))


def resolve(client: Client, selected: list[int], *, times: int = 1, **data: Any) -> Any:
    """Choose deliveries in their list, and press the confirmation's button so many times."""
    url = page("delivery", "changelist")
    chosen = {"action": "resolve_selected", "_selected_action": selected}
    asked = client.post(url, chosen)
    if asked.status_code != 200 or not data:
        return asked
    hidden = dict(asked.context["hidden"])
    for _ in range(times):
        answer = client.post(url, {**chosen, "_moment": hidden["_moment"], **data}, follow=True)
    return answer


def states(run: Run) -> dict[str, int]:
    run.refresh_from_db()
    counted = run.deliveries.values_list("state").annotate(n=Count("pk")).order_by()
    assert dict(counted) == {name: n for name, n in run.by_state.items() if n}
    return dict(counted)


def test_the_page_of_a_delivery_shows_the_message_id_that_was_sent(
    admin: Client, world: World
) -> None:
    shown = admin.get(page("delivery", "change", world.delivery)).content.decode()
    assert f"&lt;{world.delivery.uuid.hex}@mail.example.org&gt;" in shown
    assert "Message-ID" in shown
    url = page("delivery", "changelist")
    doubted = Delivery.objects.get(run=world.run, state="uncertain")
    listed = admin.get(url, {"state__exact": "uncertain"}).content.decode()
    assert f"{doubted.uuid.hex}@mail.example.org" in listed
    assert "Message-ID</" not in admin.get(url).content.decode()


@pytest.mark.parametrize(
    "spelling",
    ["<{0.hex}@mail.example.org>", "{0.hex}@mail.example.org", "{0.hex}", "{0}", " <{0.hex}@x> "],
)
def test_a_delivery_is_found_by_its_message_id(admin: Client, world: World, spelling: str) -> None:
    url, mine = page("delivery", "changelist"), world.delivery
    factories.make_run(recipients=2)
    for query in ({}, {"run__id__exact": mine.run_id}):
        found = admin.get(url, {"q": spelling.format(mine.uuid), **query}).context["cl"]
        assert list(found.result_list) == [mine]


def test_the_search_by_message_id_reads_an_index(db: None) -> None:
    run = factories.make_run(recipients=500)
    uuids = list(run.deliveries.values_list("uuid", flat=True))
    run.deliveries.filter(seq__lte=250).update(recipient=None)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE mailer_delivery")
    plan = Delivery.objects.with_uuid(uuids[0]).explain()
    sqlite = "USING INDEX sqlite_autoindex_mailer_delivery_2 (recipient_id=? AND run_id=?"
    assert "one_delivery_per_recipient_and_run" in plan or sqlite in plan
    assert "delivery_of_nobody_by_uuid" in plan
    assert len(set(uuids)) == 500


def test_a_mixed_set_is_resolved_in_parts(admin: Client, runs: list[Run]) -> None:
    run, other = runs
    first, second, third = uncertain(run)
    asked = resolve(admin, [first, second]).content.decode()
    assert "2 deliveries are uncertain" in asked
    assert "Resolve 2 deliveries" in asked
    assert said(resolve(admin, [first, second], became="sent")) == ["2 deliveries count as sent."]
    assert states(run) == {"sent": 3, "uncertain": 1}
    assert said(resolve(admin, [third], became="failed")) == ["1 delivery counts as failed."]
    assert states(run) == {"sent": 3, "failed": 1}
    assert states(other) == {"sent": 1, "uncertain": 3}
    entries = Audit.objects.filter(run=run, action="resolve").order_by("id")
    assert [(e.count, e.detail) for e in entries] == [(2, "Now: sent."), (1, "Now: failed.")]


def test_deliveries_of_several_runs_are_counted_by_run(admin: Client, runs: list[Run]) -> None:
    run, other = runs
    chosen = [*uncertain(run)[:1], *uncertain(other)[:2]]
    assert "Of 2 runs." in resolve(admin, chosen).content.decode()
    assert said(resolve(admin, chosen, became="pending")) == ["3 deliveries are sent again."]
    assert states(run) == {"sent": 1, "uncertain": 2, "pending": 1}
    assert states(other) == {"sent": 1, "uncertain": 1, "pending": 2}
    entries = Audit.objects.filter(action="resolve").order_by("run_id")
    assert [(entry.run, entry.count) for entry in entries] == [(run, 1), (other, 2)]


def test_what_is_not_uncertain_is_left_alone(admin: Client, runs: list[Run]) -> None:
    run = runs[0]
    sent = run.deliveries.get(state="sent").pk
    answer = resolve(admin, [sent, *uncertain(run)[:1]], became="failed", times=2)
    assert said(answer)[-1] == "“Resolve uncertain…” is possible for none of what is selected."
    assert states(run) == {"sent": 1, "failed": 1, "uncertain": 2}
    assert Audit.objects.filter(run=run, action="resolve").count() == 1


def test_nothing_of_a_cancelled_run_is_sent_again(admin: Client, world: World) -> None:
    cancel_run(world.run.pk, by=None, now=timezone.now())
    chosen = uncertain(world.run)
    assert "Send them again" not in resolve(admin, chosen).content.decode()
    assert said(resolve(admin, chosen, became="failed")) == ["1 delivery counts as failed."]


@pytest.mark.parametrize("became", ["sent", "failed"])
def test_the_pages_tell_who_said_what_became_of_it(
    admin: Client, world: World, *, became: str
) -> None:
    doubted = Delivery.objects.filter(run=world.run, state="uncertain")
    doubted.update(problem="interrupted", reply="")
    delivery = doubted.get()
    resolve(admin, [delivery.pk], became=became)
    shown = admin.get(page("delivery", "change", delivery)).content.decode()
    assert "It was uncertain (interrupted): the mail server may have taken it, or not." in shown
    assert f"chief counted it as {became} on " in shown
    assert f"Counted as {became} by chief." in shown
    attempt = 'data-label="Attempt">1</td>'
    assert re.search(rf"{attempt}<td>.*?badge-uncertain.*?interrupted", shown, re.DOTALL)
    assert shown.count(attempt) == 1
    on_run = admin.get(page("run", "live", world.run)).content.decode()
    assert ("It was counted as failed by staff." in on_run) == (became == "failed")
    assert "never took it" not in on_run


def test_an_answer_stays_in_the_history_of_a_retry(
    admin: Client, world: World, engine: Engine
) -> None:
    delivery = Delivery.objects.get(run=world.run, state="uncertain")
    resolve(admin, [delivery.pk], became="failed")
    retry_failed(world.run.pk, by=None, now=timezone.now())
    engine.script = lambda _message: Outcome.SENT
    send_all(world.run, now=timezone.now())
    shown = admin.get(page("delivery", "change", delivery)).content.decode()
    assert "The mail server took it." in shown
    order = [
        'data-label="Attempt">2</td>',
        "Counted as failed by chief.",
        'data-label="Attempt">1</td>',
    ]
    assert sorted(order, key=shown.index) == order


def test_a_run_taken_up_again_keeps_when_it_had_finished(admin: Client, runs: list[Run]) -> None:
    resolve(admin, uncertain(runs[0])[:1], became="pending")
    shown = admin.get(page("run", "live", runs[0])).content.decode()
    assert shown.count("The run was finished.") == 1
    assert "Everybody was tried once" not in shown
    assert f"{exact_time(factories.NOW)}</time> <span>The run was finished." in shown


def test_only_who_may_retry_is_offered_it(world: World, login: Any) -> None:
    client: Client = login("view_delivery")
    assert "resolve_selected" not in client.get(page("delivery", "changelist")).content.decode()
    assert "hidden" not in resolve(client, uncertain(world.run)).context
    client = login("view_delivery", "retry_run")
    resolve(client, uncertain(world.run), became="sent")
    world.run.refresh_from_db()
    assert world.run.uncertain == 0
