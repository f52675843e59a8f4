"""Actions on selected runs and deliveries, and on all that a filter finds; and the download."""

import csv
import io
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.http import QueryDict
from django.test import Client

from mailer import tasks
from mailer.engine.sender import Outcome
from mailer.models import Audit, BulkAction, Delivery, Mailing, Run
from mailer.services import bulk, exporting
from mailer.tests import factories
from mailer.tests.ledger import Engine, send_all

from .conftest import World, page, said

pytestmark = pytest.mark.database


def act(client: Client, model: str, action: str, selected: list[int], **query: Any) -> Any:
    """Choose rows (all that the filter finds, when `selected` is empty) and confirm; the answer."""
    url = f"{page(model, 'changelist')}?{urlencode(query)}"
    first = list(client.get(url).context["cl"].queryset.values_list("pk", flat=True))[:1]
    chosen = {
        "action": action,
        "_selected_action": selected or first,
        "select_across": "0" if selected else "1",
    }
    asked = client.post(url, chosen)
    if asked.status_code != 200:
        return client.get(asked.headers["Location"])
    hidden = dict(asked.context["hidden"])
    chosen["_moment"] = hidden["_moment"]
    return client.post(url, chosen, follow=True)


def state_of(*runs: Run) -> list[str]:
    return [Run.objects.get(pk=run.pk).state for run in runs]


def test_runs_are_paused_resumed_and_cancelled_together(admin: Client) -> None:
    one, two, over = (factories.make_run(recipients=2) for _ in range(3))
    Run.objects.filter(pk=over.pk).update(state="finished")
    every = [one.pk, two.pk, over.pk]
    assert said(act(admin, "run", "pause_selected", every)) == ["2 runs are paused."]
    assert state_of(one, two, over) == ["paused", "paused", "finished"]
    assert said(act(admin, "run", "resume_selected", [one.pk])) == ["1 run goes on."]
    assert said(act(admin, "run", "cancel_selected", every)) == ["2 runs are cancelled."]
    assert state_of(one, two, over) == ["cancelled", "cancelled", "finished"]
    assert Audit.objects.filter(action="pause", actor__username="chief").count() == 2
    assert said(act(admin, "run", "pause_selected", every)) == [
        "“Pause…” is possible for none of what is selected."
    ]


@pytest.fixture
def refused(engine: Engine) -> list[Run]:
    """Two finished runs, in each of them 2 of 4 refused, by different replies."""
    replies = {
        1: {"outcome": Outcome.FAILED, "problem": "550 5.1.1", "code": 550},
        2: {"outcome": Outcome.FAILED, "problem": "554 5.7.1", "code": 554},
    }
    engine.script = lambda message: replies.get(message.seq, Outcome.SENT)
    runs = [factories.make_run(recipients=4) for _ in range(2)]
    for run in runs:
        send_all(run)
    return runs


def test_all_that_a_filter_finds_is_retried_run_by_run(admin: Client, refused: list[Run]) -> None:
    answer = act(admin, "delivery", "retry_selected", [], problem="554 5.7.1")
    assert said(answer) == ["2 deliveries are sent again."]
    for run in refused:
        run.refresh_from_db()
        assert (run.state, run.failed, run.pending) == ("sending", 1, 1)


def test_a_large_one_is_kept_by_the_list_s_query_and_goes_on_in_the_background(
    admin: Client, refused: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "PIECE", 1)
    monkeypatch.setattr(tasks, "ring_after_commit", lambda: None)
    only = {"run__id__exact": refused[0].pk, "reply": "5", "o": "1"}
    (words,) = said(act(admin, "delivery", "retry_selected", [], **only))
    assert words.startswith("1 delivery is sent again. 1 more follows in the background;")
    action = BulkAction.objects.get()
    assert QueryDict(action.query) == QueryDict(f"run__id__exact={refused[0].pk}&reply=5")
    shown = admin.get(page("run", "change", refused[0])).content.decode()
    assert "Sending again what failed: 1 of 2 done." in shown
    tasks.go_on(action.pk)
    action.refresh_from_db()
    assert (action.done, action.finished_at is None) == (2, False)
    assert [run.deliveries.filter(state="failed").count() for run in refused] == [0, 2]
    assert "of 2 done" not in admin.get(page("run", "change", refused[0])).content.decode()


def test_a_run_in_which_it_is_not_possible_keeps_none_of_the_others_back(
    admin: Client, refused: list[Run]
) -> None:
    Run.objects.filter(pk=refused[0].pk).update(state="cancelled")
    failed = list(Delivery.objects.filter(state="failed").values_list("pk", flat=True))
    one, two = said(act(admin, "delivery", "retry_selected", failed))[0].split(". ", 1)
    assert one == "2 deliveries are sent again"
    assert two == f"Run {refused[0].pk} is cancelled: nothing in it can be sent again."


def test_what_waits_is_cancelled_though_more_was_sent_meanwhile(
    admin: Client, engine: Engine
) -> None:
    run = factories.make_run(recipients=5)
    url = f"{page('delivery', 'changelist')}?run__id__exact={run.pk}"
    first = run.deliveries.order_by("seq")[0]
    chosen = {"action": "cancel_selected", "_selected_action": [first.pk], "select_across": "1"}
    asked = admin.post(url, chosen)
    assert "5 deliveries that wait are cancelled. All of one run." in asked.content.decode()
    Delivery.objects.filter(pk=first.pk).update(state="sent")
    Run.objects.filter(pk=run.pk).update(sent=1, pending=4)
    chosen["_moment"] = dict(asked.context["hidden"])["_moment"]
    answer = admin.post(url, chosen, follow=True)
    assert said(answer) == ["4 deliveries are cancelled."]


def test_replies_and_domains_narrow_the_list_of_one_run(admin: Client, world: World) -> None:
    url = page("delivery", "changelist")

    def found(**query: Any) -> int:
        cl = admin.get(url, {"run__id__exact": world.run.pk, **query}).context["cl"]
        return len(cl.result_list)

    Delivery.objects.filter(problem="451").update(code=451)
    assert [found(reply=kind) for kind in ("4", "5", "none")] == [1, 2, 1]
    domain = world.delivery.domain
    assert found(q=f"@{domain.upper()}") == Delivery.objects.filter(domain=domain).count()
    assert found(q="@nowhere.example") == 0
    assert "By reply" not in admin.get(url).content.decode()


def download(client: Client, **query: Any) -> tuple[Any, list[list[str]]]:
    answer = client.get(page("delivery", "export"), query)
    whole = b"".join(answer.streaming_content).decode("utf-8-sig")
    return answer, list(csv.reader(io.StringIO(whole)))


def test_what_the_list_shows_is_downloaded(admin: Client, world: World) -> None:
    shown = admin.get(page("delivery", "changelist"), {"run__id__exact": world.run.pk})
    assert f"/delivery/export/?run__id__exact={world.run.pk}" in shown.content.decode()
    answer, rows = download(admin, run__id__exact=world.run.pk, state__exact="failed")
    assert f"deliveries-run-{world.run.pk}.csv" in answer.headers["Content-Disposition"]
    assert rows[0][:3] == ["address", "state", "attempts"]
    assert [row[1] for row in rows[1:]] == ["Failed", "Failed"]
    assert {row[6] for row in rows[1:]} == {"550 5.1.1", "554 5.7.1"}
    assert rows[1][9:11] == [str(world.run.pk), "Weekly news"]
    entry = Audit.objects.get(action="export")
    assert (entry.run, entry.count, entry.actor and entry.actor.username) == (world.run, 2, "chief")
    assert "state__exact=failed" in entry.detail
    _answer, rows = download(admin)
    assert len(rows) == 8
    assert "all runs" in admin.get(page("audit", "changelist")).content.decode()


def test_no_cell_is_a_formula(admin: Client, world: World) -> None:
    Mailing.objects.update(name="=cmd|' /C calc'!A0")
    Delivery.objects.filter(state="failed").update(reply="@SUM(1)", problem="-1+1")
    _answer, rows = download(admin, run__id__exact=world.run.pk, state__exact="failed")
    assert (rows[1][5], rows[1][6], rows[1][10]) == ("'@SUM(1)", "'-1+1", "'=cmd|' /C calc'!A0")


def test_a_download_that_breaks_off_says_so(
    admin: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_delivery: Delivery) -> Any:
        raise OSError("gone")

    monkeypatch.setattr(exporting, "_row", broken)
    with pytest.raises(OSError, match="gone"):
        download(admin)
    assert Audit.objects.get(action="export").detail.startswith("Broken off.")


def test_an_address_that_is_no_filter_goes_back_to_the_list(admin: Client) -> None:
    answer = admin.get(page("delivery", "export"), {"nonsense": "x"})
    assert (answer.status_code, answer.headers["Location"]) == (302, page("delivery", "changelist"))


def test_a_download_takes_its_own_permission(login: Callable[..., Client], world: World) -> None:
    url = page("delivery", "export")
    for permissions in ((), ("view",), ("export_delivery",)):
        assert login(*permissions).get(url).status_code == 403
    assert (
        "delivery/export/" not in login("view").get(page("delivery", "changelist")).content.decode()
    )
    assert login("view", "export_delivery").get(url).status_code == 200
