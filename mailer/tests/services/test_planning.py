"""I8: one run for each slot, whoever fires it and however often; what becomes of missed ones."""

import itertools
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from mailer.engine import render
from mailer.exceptions import NothingToSend, NotPossible
from mailer.models import Batch, Mailing, Run
from mailer.services import planning, recovery
from mailer.services.scheduling import apply_schedule, remove_wake_up
from mailer.tests.factories import NOW, make_mailing, make_message, make_run
from mailer.tests.ledger import check_invariants
from mailer.tests.threads import together

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def make_daily(
    zone: str = "Europe/Berlin", expression: str = "30 2 * * *", **fields: object
) -> Mailing:
    fields.setdefault("now", datetime(2026, 3, 1, tzinfo=UTC))
    return make_mailing(
        recipients=1,
        enabled=True,
        schedule_kind="crontab",
        schedule_expression=expression,
        schedule_zone=zone,
        schedule_anchor=datetime(2026, 1, 1, tzinfo=UTC),
        **fields,  # type: ignore[arg-type]
    )


def slots(mailing: Mailing) -> list[datetime]:
    return [run.slot for run in mailing.runs.order_by("slot")]


def test_early_late_and_double_firings_open_one_run() -> None:
    mailing = make_daily("UTC", "0 9 * * *", now=datetime(2026, 11, 22, 12, tzinfo=UTC))
    slot = datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert planning.decide_slot(mailing.pk, now=slot - MINUTE) is None
    assert planning.decide_slot(mailing.pk, now=slot + MINUTE) is not None
    assert planning.decide_slot(mailing.pk, now=slot + MINUTE) is None
    assert planning.decide_slot(mailing.pk, now=slot + HOUR) is None
    assert recovery.tick(now=slot + 2 * HOUR).get("slots") is None
    assert slots(mailing) == [slot]


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        # 02:30 does not exist on 29 March 2026: it goes out once, at 03:30 (01:30 UTC).
        (
            "30 2 * * *",
            datetime(2026, 3, 28, 12, tzinfo=UTC),
            datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        ),
        # 02:30 comes twice on 25 October 2026: the first one counts (00:30 UTC).
        (
            "30 2 * * *",
            datetime(2026, 10, 24, 12, tzinfo=UTC),
            datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        ),
    ],
)
def test_one_run_on_the_days_the_clocks_change(
    expression: str, start: datetime, expected: datetime
) -> None:
    mailing = make_daily(expression=expression, now=start)
    now = start
    while now < start + DAY:  # fired every ten minutes: far more often than beat would
        planning.decide_slot(mailing.pk, now=now)
        now += 10 * MINUTE
    assert slots(mailing) == [expected]


def test_beat_down_for_a_day_sends_the_last_slot_if_it_is_not_too_late() -> None:
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    mailing = make_daily("UTC", "0 */6 * * *", now=start, late_minutes=240)
    run = planning.decide_slot(mailing.pk, now=start + DAY + HOUR)
    assert run is not None
    assert (run.state, run.slot, run.slots_missed) == ("scheduled", start + DAY, 3)


def test_a_slot_missed_by_too_much_is_left_out_and_says_so() -> None:
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    mailing = make_daily("UTC", "0 9 * * *", now=start, late_minutes=60)
    run = planning.decide_slot(mailing.pk, now=start + DAY)
    assert run is not None
    assert (run.state, run.total) == ("skipped", 0)
    assert "180 minutes" in run.reason
    assert planning.decide_slot(mailing.pk, now=start + DAY + MINUTE) is None


def test_a_mailing_that_leaves_missed_sends_out_allows_for_a_few_minutes() -> None:
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    mailing = make_daily("UTC", "0 * * * *", now=start, missed=Mailing.Missed.SKIP)
    on_time = planning.decide_slot(mailing.pk, now=start + HOUR + 4 * MINUTE)
    missed = planning.decide_slot(mailing.pk, now=start + 2 * HOUR + 6 * MINUTE)
    assert on_time is not None
    assert missed is not None
    assert (on_time.state, missed.state) == ("scheduled", "skipped")


@pytest.mark.parametrize(("overlap", "state"), [("wait", "scheduled"), ("skip", "skipped")])
def test_a_run_still_going_makes_the_next_wait_or_be_left_out(overlap: str, state: str) -> None:
    start = datetime(2026, 11, 20, 12, tzinfo=UTC)
    mailing = make_daily("UTC", "0 * * * *", now=start, overlap=overlap)
    first = planning.decide_slot(mailing.pk, now=start + HOUR)
    assert first is not None
    planning.prepare_run(first.pk, now=start + HOUR)
    second = planning.decide_slot(mailing.pk, now=start + 2 * HOUR)
    third = planning.decide_slot(mailing.pk, now=start + 3 * HOUR)
    assert second is not None
    assert third is not None
    assert (second.state, third.state) == (state, "skipped")  # one may wait, not a queue of them


def test_a_changed_schedule_never_sends_for_the_past() -> None:
    mailing = make_daily("UTC", "30 9 * * *", now=datetime(2026, 11, 20, 8, tzinfo=UTC))
    noon = datetime(2026, 11, 20, 12, 2, tzinfo=UTC)
    planning.decide_slot(mailing.pk, now=noon - 2 * HOUR)
    mailing.refresh_from_db()
    mailing.schedule_expression = "0 11 * * *"
    mailing.save()
    apply_schedule(mailing, now=noon)
    assert planning.decide_slot(mailing.pk, now=noon) is None
    assert mailing.next_due_at == datetime(2026, 11, 21, 11, tzinfo=UTC)


def test_a_mailing_that_is_off_opens_nothing() -> None:
    mailing = make_daily("UTC", "* * * * *", now=NOW)
    mailing.enabled = False
    mailing.save()
    apply_schedule(mailing, now=NOW)
    assert mailing.periodic_task is None
    assert planning.decide_slot(mailing.pk, now=NOW + HOUR) is None


def test_the_wake_up_follows_the_mailing() -> None:
    mailing = make_daily("Asia/Taipei", "0 9 * * 1", now=NOW)
    task = mailing.periodic_task
    assert task is not None
    assert (task.crontab.hour, str(task.crontab.timezone)) == ("9", "Asia/Taipei")
    assert task.last_run_at == NOW
    mailing.schedule_kind, mailing.schedule_expression = "every", "15 minutes"
    mailing.save()
    apply_schedule(mailing, now=NOW + HOUR)
    task.refresh_from_db()
    assert (task.crontab, task.interval.every, task.last_run_at) == (None, 900, NOW + HOUR)
    remove_wake_up(mailing.pk)
    assert not type(task).objects.filter(pk=task.pk).exists()


def test_the_same_moment_starts_one_run() -> None:
    mailing = make_mailing(recipients=1)
    runs = {
        planning.start_now(mailing, moment=NOW, trigger=Run.Trigger.STAFF, by=None, now=NOW).pk
        for _ in range(2)
    }
    assert len(runs) == 1


def test_of_two_people_who_decide_at_once_one_sends_it_and_the_other_is_told() -> None:
    mailing = make_mailing(recipients=1)
    moments = [NOW, NOW + timedelta(seconds=1)]
    pages = itertools.cycle(moments)

    def press() -> str:
        try:
            planning.start_now(
                mailing, moment=next(pages), trigger=Run.Trigger.STAFF, by=None, now=NOW + MINUTE
            )
        except NotPossible as refusal:
            return str(refusal)
        return ""

    refused, started = sorted(together(press, threads=2), key=len, reverse=True)
    assert started == ""
    assert f"run {mailing.runs.get().pk}" in refused
    # On a page that was opened since, it is a decision.
    planning.start_now(
        mailing, moment=NOW + HOUR, trigger=Run.Trigger.STAFF, by=None, now=NOW + HOUR
    )
    assert mailing.runs.count() == 2


def test_a_run_that_its_schedule_left_out_keeps_nobody_from_sending_now() -> None:
    mailing = make_mailing(recipients=1)
    mailing.runs.create(slot=NOW + MINUTE, state="skipped", created_at=NOW + MINUTE)
    run = planning.start_now(
        mailing, moment=NOW, trigger=Run.Trigger.STAFF, by=None, now=NOW + HOUR
    )
    assert run.state == "scheduled"


def test_a_mailing_without_content_or_list_does_not_start() -> None:
    mailing = make_mailing(lists=[])
    with pytest.raises(NothingToSend, match="no list"):
        planning.start_now(mailing, moment=NOW, trigger=Run.Trigger.STAFF, by=None, now=NOW)
    mailing.message.versions.all().delete()
    with pytest.raises(NothingToSend, match="no content"):
        planning.start_now(mailing, moment=NOW, trigger=Run.Trigger.STAFF, by=None, now=NOW)


def test_two_wake_ups_at_once_open_one_run_and_two_workers_prepare_it_once() -> None:
    mailing = make_daily("UTC", "* * * * *", now=NOW)
    together(lambda: planning.decide_slot(mailing.pk, now=NOW + MINUTE))
    run = mailing.runs.get()
    together(lambda: planning.prepare_run(run.pk, now=NOW + MINUTE))
    run.refresh_from_db()
    assert (run.state, run.total, run.deliveries.count()) == ("sending", 1, 1)


def test_two_ticks_at_once_are_as_good_as_one() -> None:
    mailing = make_daily("UTC", "* * * * *", now=NOW)
    run = make_run(recipients=2)
    Batch.objects.filter(run=run).update(
        state="sending", mark=2, token=uuid4(), lease_until=NOW, rung_at=NOW
    )
    together(lambda: recovery.tick(now=NOW + MINUTE))
    assert mailing.runs.count() == 1
    run.refresh_from_db()
    assert (run.uncertain, run.pending) == (1, 1)  # the lost worker's window, counted once
    check_invariants(run, taken=run.deliveries.filter(seq=1).values_list("address", flat=True))


def test_a_worker_lost_while_preparing_leaves_a_run_that_is_prepared_again() -> None:
    mailing = make_mailing(recipients=3)
    run = make_run(mailing=mailing)
    # As a worker leaves it that was killed before its one transaction was committed.
    run.batches.all().delete()
    run.deliveries.all().delete()
    Run.objects.filter(pk=run.pk).update(
        state="preparing", total=0, pending=0, next_seq=1, rung_at=NOW
    )
    assert not planning.runs_to_prepare(now=NOW).exists()
    assert planning.runs_to_prepare(now=NOW + HOUR).get() == run
    prepared = planning.prepare_run(run.pk, now=NOW + HOUR)
    assert prepared is not None
    assert (prepared.state, prepared.total) == ("sending", 3)


def test_one_broken_mailing_keeps_no_other_from_its_turn() -> None:
    broken = make_daily("UTC", "0 * * * *", now=NOW)
    sound = make_daily("UTC", "0 * * * *", now=NOW)
    Mailing.objects.filter(pk=broken.pk).update(schedule_expression="not a crontab")
    assert recovery.tick(now=NOW + HOUR)["slots"] == 1
    assert sound.runs.count() == 1


def test_a_run_that_stumbles_while_it_is_prepared_says_why_and_fails_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stumble(_run: Run) -> None:
        raise OSError("cannot allocate memory")

    monkeypatch.setattr(planning, "check_content", stumble)
    run = planning.start_now(
        make_mailing(recipients=1), moment=NOW, trigger=Run.Trigger.STAFF, by=None, now=NOW
    )
    for now, state in ((NOW, "preparing"), (NOW + HOUR, "failed")):
        with pytest.raises(OSError, match="memory"):
            planning.prepare_run(run.pk, now=now)
        run.refresh_from_db()
        assert (run.state, run.reason) == (state, "OSError: cannot allocate memory")


@pytest.mark.parametrize("stored", ["<!-- {% if name %}x{% endif %} -->", "<p>{{ name", ""])
def test_content_that_cannot_be_sent_fails_its_run_at_once_and_says_why(stored: str) -> None:
    mailing = make_mailing(message=make_message(html="<p>Hi</p>", text=""), recipients=1)
    # Stored by a release that did not find it, or by other code than the form's.
    mailing.message.versions.update(html=stored)
    run = make_run(mailing=mailing)
    assert run.state == "failed"
    assert run.reason.startswith("The message cannot be sent.")


def test_what_no_check_foresaw_fails_a_run_at_once_too(monkeypatch: pytest.MonkeyPatch) -> None:
    mailing = make_mailing(message=make_message(html="<p>Hi</p>", text=""), recipients=1)

    def stumble(_: str) -> None:
        raise LookupError("no such thing")

    monkeypatch.setattr(render, "text_template", stumble)
    run = make_run(mailing=mailing)
    assert run.state == "failed"
    assert "LookupError: no such thing" in run.reason


@pytest.mark.parametrize("attributes", [[], None, ""])
def test_a_recipient_without_attributes_gets_mail_all_the_same(attributes: object) -> None:
    mailing = make_mailing(recipients=1)
    recipient = mailing.lists.get().recipients.get()
    recipient.attributes = attributes
    recipient.full_clean()
    recipient.save()
    assert make_run(mailing=mailing).deliveries.get().variables["address"] == recipient.address
