"""What the buttons do, and what they say."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django_celery_results.models import TaskResult
from kombu.exceptions import OperationalError
from pytest_django import DjangoCaptureOnCommitCallbacks

from mailer import tasks
from mailer.admin import send_test
from mailer.models import Audit, Delivery, Run, Suppression, TestMessage
from mailer.services import control
from mailer.tests import factories

from .conftest import World, confirm, page, said

pytestmark = pytest.mark.database


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Filled when workers are told that there is something to do."""
    rung: list[bool] = []
    monkeypatch.setattr(tasks, "_ring", lambda: rung.append(True))
    return rung


def test_a_double_click_on_send_now_starts_one_run(
    admin: Client,
    rung: list[bool],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    mailing = factories.make_mailing(recipients=2)
    with django_capture_on_commit_callbacks(execute=True):
        answer = confirm(admin, page("mailing", "do_send_now", mailing), times=2)
    run = mailing.runs.get()
    assert answer.request["PATH_INFO"] == page("run", "change", run)
    assert (run.trigger, run.started_by) == (Run.Trigger.STAFF, run.audits.get().actor)
    assert rung


def test_two_confirmations_start_two_runs(admin: Client) -> None:
    mailing = factories.make_mailing(recipients=2)
    for _ in range(2):
        confirm(admin, page("mailing", "do_send_now", mailing))
    assert mailing.runs.count() == 2


def test_send_now_names_the_number_of_people(admin: Client, world: World) -> None:
    world.subscription.state = "unsubscribed"
    world.subscription.save()
    asked = admin.get(page("mailing", "do_send_now", world.mailing)).content.decode()
    # 7 on the list: 1 unsubscribed, and the 550 5.1.1 was not suppressed by this script.
    assert "goes to 6 people now" in asked
    assert "1 unsubscribed" in asked


def test_send_now_says_how_many_lack_what_the_message_needs(admin: Client) -> None:
    message = factories.make_message(text="{{ city }} {{ plan|default('') }}")
    mailing = factories.make_mailing(recipients=3, message=message)
    ann = mailing.lists.get().recipients.first()
    assert ann is not None
    ann.attributes = {"city": "Rome"}
    ann.save()
    asked = admin.get(page("mailing", "do_send_now", mailing)).content.decode()
    assert "2 of them lack “city”; where the message needs it, it fails." in asked
    assert "plan" not in asked


def test_send_now_of_a_mailing_that_cannot_be_sent_says_why(admin: Client) -> None:
    mailing = factories.make_mailing(lists=[])
    answer = confirm(admin, page("mailing", "do_send_now", mailing))
    assert "has no list" in said(answer)[0]
    assert not mailing.runs.exists()


def test_send_selected_starts_each_once_and_names_what_it_could_not(admin: Client) -> None:
    good, bad = factories.make_mailing(recipients=1), factories.make_mailing(lists=[])
    url = page("mailing", "changelist")
    data: dict[str, Any] = {"action": "send_selected", "_selected_action": [good.pk, bad.pk]}
    asked = admin.post(url, data)
    assert asked.content.decode().count("goes to") == 2
    moment = dict(asked.context["hidden"])["_moment"]
    for _ in range(2):
        answer = admin.post(url, {**data, "_moment": moment}, follow=True)
    assert good.runs.count() == 1
    assert "1 run was started." in said(answer)[-1]
    assert "has no list" in said(answer)[-1]


def test_the_schedule_is_switched_off_and_on(admin: Client, world: World) -> None:
    mailing = world.mailing
    confirm(admin, page("mailing", "do_disable", mailing))
    mailing.refresh_from_db()
    assert (mailing.enabled, mailing.next_due_at, mailing.periodic_task) == (False, None, None)
    confirm(admin, page("mailing", "do_enable", mailing))
    mailing.refresh_from_db()
    assert mailing.enabled
    assert mailing.next_due_at
    assert mailing.periodic_task
    history = admin.get(page("mailing", "history", mailing)).content.decode()
    assert "switched its schedule off." in history
    assert "switched its schedule on." in history


def test_a_schedule_that_is_over_is_not_switched_on(admin: Client) -> None:
    mailing = factories.make_mailing(
        schedule_kind="once", schedule_anchor=factories.NOW.replace(year=2020)
    )
    answer = confirm(admin, page("mailing", "do_enable", mailing))
    assert said(answer) == ["This moment is over. Choose a later one."]
    mailing.refresh_from_db()
    assert not mailing.enabled


def test_a_run_is_paused_resumed_and_cancelled(
    admin: Client,
    rung: list[bool],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    run = factories.make_run(recipients=2)
    for action, state in (("pause", "paused"), ("resume", "sending"), ("cancel", "cancelled")):
        rung.clear()
        with django_capture_on_commit_callbacks(execute=True):
            confirm(admin, page("run", f"do_{action}", run))
        run.refresh_from_db()
        assert run.state == state
        assert rung
        entry = run.audits.filter(action=action).get()
        assert entry.actor is not None
    assert run.cancelled == 2


def test_pressing_pause_twice_pauses_once(admin: Client) -> None:
    run = factories.make_run()
    answer = confirm(admin, page("run", "do_pause", run), times=2)
    assert run.audits.filter(action=Audit.Action.PAUSE).count() == 1
    assert said(answer)[-1] == (
        f"“Pause” was not done: it is not possible now, or done already. Run {run.pk} is paused."
    )
    # The way back in the browser asks for the page again.
    answer = admin.get(page("run", "do_pause", run), follow=True)
    assert said(answer) == [f"“Pause” is not possible now. Run {run.pk} is paused."]


def test_what_others_did_meanwhile_is_said(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    run = factories.make_run()
    url = page("run", "do_pause", run)
    hidden = dict(admin.get(url).context["hidden"])
    # Somebody else cancels the run between the look at its state and the service's own.
    service = control.pause_run

    def pause_late(run_id: int, **given: Any) -> None:
        Run.objects.filter(pk=run_id).update(state="cancelled")
        service(run_id, **given)

    monkeypatch.setattr(control, "pause_run", pause_late)
    answer = admin.post(url, hidden, follow=True)
    assert said(answer) == [f"Run {run.pk} is cancelled by now. Nothing was changed."]


def test_retry_sends_all_that_failed_again_and_says_how_many(admin: Client, world: World) -> None:
    url = page("run", "do_retry", world.run)
    asked = admin.get(url).content.decode()
    assert "2 failed deliveries are sent again." in asked
    assert "Retry 2 deliveries" in asked
    assert said(confirm(admin, url)) == ["2 failed deliveries are sent again."]
    world.run.refresh_from_db()
    assert (world.run.failed, world.run.pending) == (0, 2)


def test_retry_in_a_paused_run_sends_once_it_is_resumed(admin: Client, world: World) -> None:
    Run.objects.update(state="paused", reason="Paused by itself. Look at why below.")
    url = page("run", "do_retry", world.run)
    paused = "The run is paused: nothing is sent until you resume it."
    assert paused in admin.get(url).content.decode()
    assert said(confirm(admin, url)) == [f"2 failed deliveries are sent again. {paused}"]
    world.run.refresh_from_db()
    assert world.run.reason == (
        "Paused. Those to be tried again are waiting; resume it to send them."
    )


def test_retry_tells_who_is_left_out_before_and_after(admin: Client, world: World) -> None:
    dead = Delivery.objects.get(run=world.run, problem="550 5.1.1")
    Suppression.objects.create(address=dead.address)
    url = page("run", "do_retry", world.run)
    words = "1 of the 2 failed deliveries is sent again. Left out: 1 suppressed."
    asked = admin.get(url).content.decode()
    assert words in asked
    assert "Retry 1 delivery" in asked
    hidden = dict(admin.get(url).context["hidden"])
    assert said(admin.post(url, hidden, follow=True)) == [words]
    entry = world.run.audits.get(action="retry")
    assert (entry.count, entry.detail) == (1, "Left out: 1 suppressed.")
    nothing = "has nothing to retry: the 1 failed delivery is left out (1 suppressed)."
    for answer in (admin.get(url, follow=True), admin.post(url, hidden, follow=True)):
        assert said(answer) == [f"Run {world.run.pk} {nothing}"]


def test_retry_of_a_reply_that_nobody_got_is_refused(admin: Client, world: World) -> None:
    answer = admin.get(f"{page('run', 'do_retry', world.run)}?problem=zzz", follow=True)
    assert answer.redirect_chain == [(page("run", "change", world.run), 302)]
    (words,) = said(answer)
    assert words.startswith(
        f"Run {world.run.pk} has no failed deliveries to retry. Only those that"
    )


def test_retry_of_one_reply_group_leaves_the_others(admin: Client, world: World) -> None:
    shown = admin.get(page("run", "change", world.run)).content.decode()
    url = f"{page('run', 'do_retry', world.run)}?problem=554+5.7.1"
    assert f'href="{url}"' in shown
    asked = admin.get(url).content.decode()
    assert "1 failed delivery is sent again." in asked
    assert "Only those that failed with “554 5.7.1”." in asked
    confirm(admin, url)
    failed = Delivery.objects.filter(run=world.run, state="failed")
    assert [delivery.problem for delivery in failed] == ["550 5.1.1"]


ON_ITS_WAY = "What is on its way right now may still arrive;"
STILL_TO_COME = f"3 deliveries are still to come. {ON_ITS_WAY}"


@pytest.mark.parametrize(
    ("action", "asked", "done"),
    [
        (
            "pause",
            f"{STILL_TO_COME} the rest waits until you resume it.",
            f"Paused. {ON_ITS_WAY} nothing else is sent until you resume it.",
        ),
        (
            "cancel",
            f"{STILL_TO_COME} nothing else is sent. This cannot be undone.",
            f"Cancelled. {ON_ITS_WAY} nothing else is sent.",
        ),
    ],
)
def test_pause_and_cancel_promise_nothing_about_what_is_on_its_way(
    admin: Client, action: str, asked: str, done: str
) -> None:
    url = page("run", f"do_{action}", factories.make_run(recipients=3))
    assert asked in admin.get(url).content.decode()
    assert said(confirm(admin, url)) == [done]


@pytest.mark.parametrize(
    ("became", "words"),
    [
        ("sent", "1 delivery counts as sent."),
        ("failed", "1 delivery counts as failed."),
        ("pending", "1 delivery is sent again."),
    ],
)
def test_uncertain_deliveries_become_what_staff_say(
    admin: Client,
    world: World,
    rung: list[bool],
    *,
    became: str,
    words: str,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    url = page("run", "do_resolve", world.run)
    assert url in admin.get(page("run", "change", world.run)).content.decode()
    asked = admin.get(url).content.decode()
    assert "1 delivery is uncertain" in asked
    assert "Send them again (some people may get it twice)" in asked
    before = getattr(world.run, became)
    with django_capture_on_commit_callbacks(execute=True):
        assert said(confirm(admin, url, became=became)) == [words]
    assert rung
    world.run.refresh_from_db()
    assert (world.run.uncertain, getattr(world.run, became)) == (0, before + 1)
    assert world.run.audits.get(action="resolve").actor == User.objects.get()
    assert url not in admin.get(page("run", "change", world.run)).content.decode()


def test_resolving_takes_an_answer(admin: Client, world: World) -> None:
    url = page("run", "do_resolve", world.run)
    for answer in ({}, {"became": "cancelled"}):
        confirm(admin, url, **answer)
    world.run.refresh_from_db()
    assert world.run.uncertain == 1


def test_a_cancelled_run_does_not_offer_to_send_again(admin: Client, world: World) -> None:
    control.cancel_run(world.run.pk, by=None, now=factories.NOW)
    url = page("run", "do_resolve", world.run)
    asked = admin.get(url).content.decode()
    assert "They arrived" in asked
    assert "Send them again" not in asked
    assert said(confirm(admin, url, became="pending")) == []
    assert said(confirm(admin, url, became="failed")) == ["1 delivery counts as failed."]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[TestMessage]:
    """The tests that were put on the broker."""
    published: list[TestMessage] = []
    monkeypatch.setattr(send_test, "publish_test", published.append)
    return published


def test_send_test_sends_to_one_address_and_remembers_it(
    admin: Client, world: World, published: list[TestMessage]
) -> None:
    other = factories.make_relay(name="Other")
    url = page("message", "do_send_test", world.message)
    asked = admin.get(url).content.decode()
    assert "It leaves through “Provider” unless you choose another relay." in asked
    assert f'<option value="{world.relay.pk}" selected>Provider' in asked
    answer = confirm(admin, url, address="me@EXAMPLE.org", relay=other.pk)
    test = world.message.tests.get()
    assert published == [test]
    assert test.relay == other
    assert "through “Other”" in said(answer)[0]
    assert "<td>Other</td>" in answer.content.decode()
    assert (test.address, test.requested_by) == ("me@example.org", User.objects.get())
    assert "on its way to me@example.org" in said(answer)[0]
    history = admin.get(page("message", "history", world.message)).content.decode()
    assert f"sent test {test.pk}." in history
    assert "me@example.org" not in history  # it outlives the person's erasure


def test_send_test_refuses_what_is_no_address(
    admin: Client, world: World, published: list[TestMessage]
) -> None:
    url = page("message", "do_send_test", world.message)
    hidden = dict(admin.get(url).context["hidden"])
    answer = admin.post(url, {**hidden, "address": "nobody"})
    assert "is not an e-mail address" in answer.content.decode()
    assert not published


def test_send_test_says_when_the_broker_is_down(
    admin: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.send_test, "apply_async", refuse)
    url = page("message", "do_send_test", world.message)
    answer = confirm(admin, url, address="me@example.org", relay=world.relay.pk)
    assert "Nothing was sent" in said(answer)[0]
    assert not world.message.tests.exists()


def test_the_message_page_shows_what_became_of_its_tests(
    admin: Client, world: World, make_test: Callable[..., TestMessage]
) -> None:
    result = TaskResult.objects.create(task_id=make_test().task_id, status="FAILURE")
    shown = admin.get(page("message", "change", world.message)).content.decode()
    assert "me@example.org" in shown
    assert "no such user" in shown
    assert f"/taskresult/{result.pk}/" in shown


def test_who_may_not_change_a_message_sees_no_address_of_its_tests(
    world: World, login: Callable[..., Client], make_test: Callable[..., TestMessage]
) -> None:
    make_test()
    shown = login("view").get(page("message", "change", world.message)).content.decode()
    assert "badge-failed" in shown
    assert "me@example.org" not in shown
    assert "no such user" not in shown


def test_a_reader_of_a_message_is_shown_no_link_that_would_refuse_them(
    world: World, login: Callable[..., Client], make_test: Callable[..., TestMessage]
) -> None:
    TaskResult.objects.create(task_id=make_test().task_id, status="FAILURE")
    client = login("view")
    shown = client.get(page("message", "change", world.message)).content.decode()
    links = set(re.findall(r'href="(/[^"#]*)"', shown))
    opened = {link: client.get(link).status_code for link in links if "/static/" not in link}
    assert page("messageversion", "change", world.version) in opened
    assert [link for link, status in opened.items() if status >= 400] == []


@pytest.fixture
def make_test(world: World) -> Callable[..., TestMessage]:

    def make() -> TestMessage:
        return TestMessage.objects.create(
            message=world.message,
            address="me@example.org",
            requested_at=factories.NOW,
            task_id="a-task",
            outcome="failed",
            reply="<me@example.org>: no such user",
        )

    return make
