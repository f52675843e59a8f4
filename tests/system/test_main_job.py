"""The main job with real processes: schedule, worker, SMTP, results; then what goes wrong."""

import json
import os
import random
import signal
from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_results.models import TaskResult

from admin_ext.models import TaskAttempt
from mailer.models import Batch, Delivery, Mailing, Run
from mailer.services import control
from mailer.tests.factories import make_list, make_mailing, make_message, make_recipient, subscribe
from mailer.tests.ledger import find_broken

from .brokers import Broker
from .inbox import Inbox
from .processes import Site, children, wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


def start(site: Site, mailing: Mailing) -> Run:
    return Run.objects.get(pk=int(site.manage("start_mailing", mailing.name)))


def wait_finished(run: Run, *, site: Site, seconds: float = 90) -> None:
    def finished() -> bool:
        run.refresh_from_db()
        return run.state == "finished"

    try:
        wait_until(finished, what=f"run {run.pk} finished", seconds=seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}; {run.state} {run.by_state}\n{site.log()[-6000:]}") from None


def check(run: Run, inbox: Inbox) -> None:
    """I1 to I4 and I7 to I9 against what the server really accepted."""
    message_ids = [message_id for _address, message_id in inbox.accepted]
    assert find_broken(run, taken=inbox.addresses, message_ids=message_ids) == []


def test_a_schedule_fires_and_everybody_gets_the_message(site: Site, inbox: Inbox) -> None:
    site.environment["MAILER_TICK_SECONDS"] = "30"  # beat's wake-up has to bring it, not the tick
    people = make_list(name="Everybody")
    for name in ("Zoë Brontë", "王小明", "ليلى", "Ada 🚀"):
        subscribe(make_recipient(name=name), people)
    for _ in range(246):
        subscribe(make_recipient(), people)
    site.start_control(), site.start_worker(), site.start_beat()
    at = timezone.now() + timedelta(seconds=12)
    mailing = make_mailing(
        lists=[people], enabled=True, schedule_kind="once", schedule_anchor=at, now=timezone.now()
    )
    wait_until(mailing.runs.exists, what="the schedule opened a run", seconds=45)
    run = mailing.runs.get()
    wait_finished(run, site=site)

    assert (run.slot, run.trigger) == (at, "schedule")
    assert (run.total, run.sent) == (250, 250)
    assert "(mailer.wake_mailing)" in site.log()  # beat fired it
    assert not PeriodicTask.objects.get(mailing=mailing).enabled
    check(run, inbox)
    assert {"王小明", "ليلى"} <= {m["To"].addresses[0].display_name for m in inbox.messages}
    assert {m["Auto-Submitted"] for m in inbox.messages} == {"auto-generated"}
    assert {m["List-Id"] for m in inbox.messages} == {
        f'"Everybody" <{people.slug}.mail.example.org>'
    }

    batches = list(run.batches.all())
    assert len(batches) == 3

    def stored() -> bool:
        return TaskResult.objects.filter(
            task_id__in=[batch.task_id for batch in batches], status="SUCCESS"
        ).count() == len(batches)

    wait_until(stored, what="a stored result for each batch")
    results = [
        json.loads(result.result)
        for result in TaskResult.objects.filter(task_name="mailer.send_batch")
    ]
    assert sum(result.get("sent", 0) for result in results) == 250  # a second ring finds nothing
    attempts = TaskAttempt.objects.filter(task_id__in=[batch.task_id for batch in batches])
    wait_until(
        lambda: set(attempts.values_list("state", flat=True)) == {"succeeded"},
        what="an attempt recorded for each batch",
    )


def test_refused_deferred_and_retried(site: Site, inbox: Inbox) -> None:
    mailing = make_mailing(recipients=30)
    people = list(mailing.lists.get().recipients.order_by("pk"))  # type: ignore[attr-defined]
    refused, deferred = people[3].address, people[5].address

    def answer(address: str, before: int) -> str:
        if address == refused:
            return "550 not here"
        return "451 4.3.0 try later" if address == deferred and not before else ""

    inbox.answer = answer
    site.start_control(), site.start_worker(), site.start_beat()
    run = start(site, mailing)
    wait_finished(run, site=site)
    assert {name: n for name, n in run.by_state.items() if n} == {"sent": 29, "failed": 1}
    row = Delivery.objects.get(run=run, address=deferred)
    assert (row.state, row.attempts, [e.state for e in row.earlier.all()]) == (
        "sent",
        2,
        ["deferred"],
    )
    report = json.loads(site.manage("run_report", str(run.pk), "--json"))
    assert report["by_state"]["failed"] == 1
    assert [(g["problem"], g["count"]) for g in report["failures"]] == [("550", 1)]

    before = Counter(inbox.addresses)
    inbox.answer = lambda _address, _before: ""
    assert control.retry_failed(run.pk, by=None, now=timezone.now()).done == 1
    wait_finished(run, site=site)
    assert Counter(inbox.addresses) - before == Counter({refused: 1})
    assert run.sent == 30
    check(run, inbox)


def test_the_tick_finishes_a_run_whose_queue_was_emptied(
    site: Site, inbox: Inbox, broker: Broker
) -> None:
    mailing = make_mailing(recipients=400)
    run = start(site, mailing)  # nobody works yet: the rings wait in the broker
    assert broker.length("mail") > 0
    broker.empty()
    assert broker.length("mail") == 0
    site.start_control(), site.start_worker(), site.start_beat()
    wait_until(lambda: len(inbox.accepted) > 120, what="the run is under way")
    broker.empty()
    wait_finished(run, site=site)
    assert run.sent == 400
    check(run, inbox)


def test_killed_workers_send_nothing_twice_and_lose_nothing(
    site: Site, inbox: Inbox, broker: Broker
) -> None:
    chance = random.Random()
    recipients = 1500 if broker.url.startswith("filesystem") else 800
    mailing = make_mailing(recipients=recipients)
    site.start_control(), site.start_beat()
    worker = site.start_worker()
    run = start(site, mailing)
    kills = 0
    while True:
        goal = len(inbox.accepted) + chance.randint(1, 60)
        try:
            wait_until(
                lambda goal=goal: len(inbox.accepted) >= goal or _finished(run),
                what="the run goes on after a kill",
                seconds=40,
            )
        except AssertionError as error:
            raise AssertionError(f"{error}; {_state(run)}\n{site.log()[-5000:]}") from None
        if _finished(run):
            break
        pool = children(worker.pid)
        if kills % 5 == 4 or not pool:
            site.kill(worker)
            kills += 2  # two processes, each with a window of its own
            worker = site.start_worker()
        else:
            os.kill(chance.choice(pool), signal.SIGKILL)
            kills += 1
    run.refresh_from_db()
    assert kills >= recipients // 150
    assert run.uncertain <= kills * 20
    assert run.sent + run.uncertain == recipients
    check(run, inbox)
    assert not Batch.objects.exclude(state="done").exists()


def test_sigterm_finishes_the_message_in_hand_and_hands_the_rest_back(
    site: Site, inbox: Inbox
) -> None:
    mailing = make_mailing(recipients=300)
    site.start_control(), site.start_beat()
    worker = site.start_worker(processes=1)
    run = start(site, mailing)
    wait_until(lambda: len(inbox.accepted) > 30, what="the run is under way")
    site.stop(worker)
    run.refresh_from_db()
    assert run.state == "sending"
    assert run.uncertain == 0
    assert run.sent == len(inbox.accepted) < 300
    assert not Batch.objects.filter(state="sending").exists()
    worker = site.start_worker()
    wait_finished(run, site=site)
    assert run.sent == 300
    check(run, inbox)
    before = inbox.goodbyes
    site.stop(worker)
    assert inbox.goodbyes > before  # the connections it had kept


def test_a_test_message_is_tried_four_times_at_most_and_each_is_seen(
    site: Site, inbox: Inbox
) -> None:
    message = make_message(name="Hello")
    make_mailing(message=message)
    inbox.answer = lambda _address, before: "451 4.7.1 later" if before < 2 else ""
    site.start_worker(), site.start_control()
    task_id = site.manage("send_test", "Hello", "ann@people.example").strip()
    attempts = TaskAttempt.objects.filter(task_id=task_id).order_by("retries")
    wait_until(
        lambda: (
            list(attempts.values_list("state", flat=True)) == ["retried", "retried", "succeeded"]
        ),
        what="two tries and a success",
    )
    assert inbox.addresses == ["ann@people.example"]
    inbox.answer = lambda _address, _before: "451 4.7.1 later"
    task_id = site.manage("send_test", "Hello", "bob@people.example").strip()
    attempts = TaskAttempt.objects.filter(task_id=task_id).order_by("retries")
    wait_until(
        lambda: (
            list(attempts.values_list("state", flat=True))
            == ["retried", "retried", "retried", "failed"]
        ),
        what="the last try failed",
    )
    assert TaskResult.objects.get(task_id=task_id).status == "FAILURE"


def _finished(run: Run) -> bool:
    return Run.objects.filter(pk=run.pk, state="finished").exists()


def _state(run: Run) -> str:
    run.refresh_from_db()
    batches = Counter(run.batches.values_list("state", flat=True))
    return f"{run.state} {run.by_state} {dict(batches)}"
