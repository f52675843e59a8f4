"""The ledger: expansion, claims, windows, outcomes, lost workers, and what staff do to runs."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from pytest_django import Settings

from mailer.engine.sender import Outcome, RelayTrouble
from mailer.exceptions import NotPossible
from mailer.models import Attempt, Audit, Batch, Delivery, Relay, Run, Suppression
from mailer.services import (
    claiming,
    control,
    planning,
    recovery,
    relays,
    ringing,
    sending,
    sending_again,
    watch,
    windows,
)
from mailer.services.progress import count_moves
from mailer.services.reporting import failures_by_reply
from mailer.services.reserving import LEAD
from mailer.states import DeliveryState, SubscriptionState
from mailer.tests.factories import (
    NOW,
    make_list,
    make_mailing,
    make_message,
    make_recipient,
    make_relay,
    make_run,
    subscribe,
)
from mailer.tests.ledger import Engine, check_invariants, result, send_all, send_one
from mailer.tests.threads import together

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

LATER = NOW + timedelta(hours=1)


@pytest.fixture(autouse=True)
def _small(settings: Settings) -> None:
    settings.MAILER_BATCH_SIZE, settings.MAILER_WINDOW_SIZE = 10, 3
    settings.MAILER_LEASE_SECONDS = 60


def states(run: Run) -> dict[str, int]:
    run.refresh_from_db()
    return {name: n for name, n in run.by_state.items() if n}


# --- Expansion -------------------------------------------------------------------------------


def test_an_address_on_two_lists_gets_one_delivery_and_others_are_counted_by_reason() -> None:
    first, second = make_list(recipients=4), make_list()
    both = first.recipients.first()
    assert both is not None
    subscribe(both, second)
    gone = make_recipient()
    subscribe(gone, first, SubscriptionState.UNSUBSCRIBED)
    subscribe(make_recipient(), second, SubscriptionState.UNCONFIRMED)
    dead = make_recipient()
    subscribe(dead, second)
    Suppression.objects.create(address=dead.address.upper())  # other capitals, the same address
    back = make_recipient()  # unsubscribed from one, still on the other
    subscribe(back, first, SubscriptionState.UNSUBSCRIBED)
    subscribe(back, second)

    run = make_run(mailing=make_mailing(lists=[first, second]))

    assert run.state == "sending"
    assert (run.total, run.pending) == (5, 5)
    assert run.left_out == {"suppressed": 1, "unsubscribed": 1, "unconfirmed": 1}
    assert Delivery.objects.filter(run=run, address=both.address).count() == 1


def test_variables_hold_the_attributes_with_the_fixed_fields_on_top() -> None:
    mailing_list = make_list()
    person = make_recipient(name="Zoë", language="nl", attributes={"city": "Ghent", "name": "x"})
    subscribe(person, mailing_list)
    run = make_run(mailing=make_mailing(lists=[mailing_list]))
    assert Delivery.objects.get(run=run).variables == {
        "city": "Ghent",
        "name": "Zoë",
        "language": "nl",
        "time_zone": "",
        "address": person.address,
    }


def test_the_batches_cover_every_seq_once() -> None:
    run = make_run(recipients=25)
    ranges = list(run.batches.values_list("first_seq", "mark", "last_seq"))
    assert ranges == [(1, 1, 10), (11, 11, 20), (21, 21, 25)]


def test_a_run_of_nobody_is_finished_at_once() -> None:
    run = make_run(recipients=0)
    assert (run.state, run.total) == ("finished", 0)


def test_content_is_frozen_when_the_run_is_prepared() -> None:
    mailing = make_mailing(recipients=1)
    run = make_run(mailing=mailing)
    mailing.message = make_message()
    mailing.save()
    mailing.lists.set([make_list(recipients=3)])
    run.refresh_from_db()
    assert run.message_version != mailing.message.current
    assert run.total == 1


def test_content_that_cannot_be_rendered_fails_the_run_and_sends_nothing() -> None:
    mailing = make_mailing(recipients=2)
    version = mailing.message.current
    assert version is not None
    type(version).objects.filter(pk=version.pk).update(html="{% if %}")
    run = make_run(mailing=mailing)
    assert (run.state, run.total) == ("failed", 0)
    assert "line 1" in run.reason


# --- Sending ---------------------------------------------------------------------------------


def test_every_outcome_is_recorded_and_counted(engine: Engine) -> None:
    run = make_run(recipients=25)
    answers = {5: Outcome.FAILED, 7: Outcome.DEFERRED, 9: Outcome.UNCERTAIN}
    engine.script = lambda message: answers.get(message.seq, Outcome.SENT)
    send_all(run)
    assert states(run) == {"sent": 22, "failed": 1, "deferred": 1, "uncertain": 1}
    assert run.state == "sending"
    assert run.first_pass_finished_at == NOW
    failed = Delivery.objects.get(run=run, seq=5)
    assert (failed.code, failed.problem, failed.attempts) == (550, "550", 1)
    assert Delivery.objects.get(run=run, seq=1).problem is None
    check_invariants(run, taken=engine.taken)


def test_a_batch_is_claimed_once(engine: Engine) -> None:
    run = make_run(recipients=3)
    batch = run.batches.get()
    assert send_one(batch) == {"sent": 3}
    assert send_one(batch) == {}
    assert len(engine.taken) == 3


def test_of_many_workers_told_at_once_one_gets_the_batch() -> None:
    run = make_run(recipients=120, relay=make_relay(connections=100))
    for batch in run.batches.all():
        claims = together(
            lambda batch=batch: claiming.claim_batch(batch.pk, task_id="t", worker="w", now=NOW),
            threads=6,
        )
        assert len([claim for claim in claims if claim]) == 1


def test_two_people_pressing_retry_at_once_retry_once(engine: Engine) -> None:
    run = make_run(recipients=9)
    engine.script = lambda _message: Outcome.FAILED
    send_all(run)

    def press() -> int:
        try:
            return control.retry_failed(run.pk, by=None, now=LATER).done
        except NotPossible:
            return 0

    assert sum(together(press)) == 9
    assert states(run) == {"pending": 9}
    assert run.state == "sending"


def test_deferred_mail_is_tried_again_when_it_is_due_and_keeps_its_history(engine: Engine) -> None:
    run = make_run(recipients=3)
    engine.script = lambda message: Outcome.DEFERRED if message.seq == 2 else Outcome.SENT
    send_all(run)
    recovery.tick(now=NOW)
    assert states(run) == {"sent": 2, "deferred": 1}
    engine.script = lambda _message: Outcome.SENT
    assert recovery.tick(now=LATER)["retried"] == 1
    send_all(run, now=LATER)
    assert states(run) == {"sent": 3}
    assert run.state == "finished"
    row = Delivery.objects.get(run=run, seq=4)
    assert (row.attempts, row.problem) == (2, None)
    assert Attempt.objects.get().state == "deferred"
    check_invariants(run, taken=engine.taken)


def test_deferred_mail_fails_when_the_run_expires(engine: Engine) -> None:
    run = make_run(recipients=1)
    engine.script = lambda _message: Outcome.DEFERRED
    send_all(run)
    recovery.tick(now=NOW + timedelta(hours=97))
    assert states(run) == {"failed": 1}
    assert run.state == "finished"
    delivery = Delivery.objects.get(run=run)
    assert (delivery.problem, delivery.settled_at) == ("451", NOW)
    (group,) = failures_by_reply(run)
    assert group["meaning"].endswith("It was given up: its run's time was over.")


def test_who_unsubscribes_during_a_run_is_left_out(engine: Engine) -> None:
    run = make_run(recipients=9)
    people = list(Delivery.objects.filter(run=run).order_by("seq"))
    leaving, suppressed = people[4], people[7]

    def script(message: object) -> Outcome:
        if len(engine.taken) == 1:
            assert leaving.recipient is not None
            leaving.recipient.subscriptions.update(state=SubscriptionState.UNSUBSCRIBED)
            Suppression.objects.create(address=suppressed.address)
        return Outcome.SENT

    engine.script = script
    send_all(run)
    assert states(run) == {"sent": 7, "skipped": 2}
    assert leaving.address not in engine.taken
    assert suppressed.address not in engine.taken
    problems = Delivery.objects.filter(run=run, state="skipped").order_by("seq")
    assert [row.problem for row in problems] == ["unsubscribed", "suppressed"]
    check_invariants(run, taken=engine.taken)


def test_a_dead_address_is_suppressed_at_once_and_a_disabled_one_the_second_time(
    engine: Engine,
) -> None:
    mailing = make_mailing(recipients=2)
    kinds = {1: ("5.1.1", "now"), 2: ("5.2.1", "second time")}

    def script(message: object) -> dict[str, object]:
        status, suppress = kinds[message.seq]  # type: ignore[attr-defined]
        return {"outcome": Outcome.FAILED, "enhanced_status": status, "suppress": suppress}

    engine.script = script  # type: ignore[assignment]
    run = make_run(mailing=mailing)
    send_all(run)
    assert Suppression.objects.count() == 1
    engine.script = lambda _m: {
        "outcome": Outcome.FAILED,
        "enhanced_status": "5.2.1",
        "suppress": "second time",
    }
    again = make_run(mailing=mailing, now=LATER)
    assert again.left_out == {"suppressed": 1}
    send_all(again)
    assert Suppression.objects.count() == 2


def test_relay_trouble_pauses_the_relay_and_blames_nobody(engine: Engine) -> None:
    run = make_run(recipients=9)
    engine.script = lambda message: (
        RelayTrouble("pause", "relay:25 hung up") if message.seq == 5 else Outcome.SENT
    )
    send_one(run.batches.get())
    assert states(run) == {"sent": 4, "pending": 5}
    assert Delivery.objects.filter(run=run, attempts__gt=0).count() == 4
    relay = Relay.objects.get()
    assert relay.is_paused(now=NOW)
    assert ringing.take_bells(now=NOW, processes=2) == []
    engine.script = lambda _message: Outcome.SENT
    assert len(ringing.take_bells(now=LATER, processes=2)) == 1
    send_all(run, now=LATER)
    assert states(run) == {"sent": 9}
    relay.refresh_from_db()
    assert (relay.failures_in_a_row, relay.paused_until) == (0, None)
    check_invariants(run, taken=engine.taken)


def test_a_relay_that_stays_busy_is_left_alone_for_longer_each_time(engine: Engine) -> None:
    run, now = make_run(recipients=9), NOW
    engine.script = lambda _message: (Outcome.DEFERRED, RelayTrouble("pause", "relay:25: 421"))
    pauses = []
    for _ in range(4):
        send_one(run.batches.get(state="ready"), now=now)
        until = Relay.objects.get().paused_until
        assert until is not None
        pauses.append((until - now).total_seconds())
        now = until
    assert pauses == [30, 60, 120, 240]


def test_a_refused_sender_holds_the_run_and_says_so(engine: Engine) -> None:
    run = make_run(recipients=4)
    engine.script = lambda _message: RelayTrouble("hold", "relay:587 refused the sender")
    send_one(run.batches.get())
    assert states(run) == {"pending": 4}
    assert (run.state, run.reason) == ("paused", "relay:587 refused the sender")
    assert Audit.objects.filter(run=run, action="hold").count() == 1


def test_a_batch_asked_to_stop_gives_the_rest_back(engine: Engine) -> None:
    run = make_run(recipients=9)
    send_one(run.batches.get(), stopping=lambda: len(engine.taken) >= 4)
    assert states(run) == {"sent": 4, "pending": 5}
    assert run.batches.filter(state="ready").count() == 1
    send_all(run)
    assert states(run) == {"sent": 9}
    check_invariants(run, taken=engine.taken)


# --- Lost workers ----------------------------------------------------------------------------


def test_a_worker_lost_in_a_window_leaves_that_window_uncertain_and_nothing_else(
    engine: Engine,
) -> None:
    run = make_run(recipients=9)

    def script(message: object) -> Outcome | BaseException:
        # Not an Exception: nothing may run after it, as nothing runs after a kill.
        return SystemExit() if len(engine.taken) == 4 else Outcome.SENT

    engine.script = script
    with pytest.raises(SystemExit):
        send_one(run.batches.get())
    assert states(run) == {"sent": 3, "pending": 6}
    assert recovery.reap_lost_batches(now=NOW) == 0
    assert recovery.reap_lost_batches(now=LATER) == 1
    assert states(run) == {"sent": 3, "uncertain": 3, "pending": 3}
    assert Audit.objects.get(run=run, action="take_over").count == 3
    engine.script = lambda _message: Outcome.SENT
    send_all(run, now=LATER)
    assert states(run) == {"sent": 6, "uncertain": 3}
    check_invariants(run, taken=engine.taken)


def test_a_worker_whose_lease_ran_out_changes_nothing() -> None:
    run = make_run(recipients=9)
    claim = claiming.claim_batch(run.batches.get().pk, task_id="t", worker="w", now=NOW)
    assert claim is not None
    window = windows.next_window(claim, [], now=NOW)
    assert window is not None
    recovery.reap_lost_batches(now=LATER)
    before = states(run)
    late = [result(message.seq) for message in window]
    assert windows.next_window(claim, late, now=LATER) is None
    assert states(run) == before
    assert not claim.is_held()


def test_a_renewed_lease_is_not_reaped() -> None:
    run = make_run(recipients=1)
    claim = claiming.claim_batch(run.batches.get().pk, task_id="t", worker="w", now=NOW)
    assert claim is not None
    claiming.renew_lease(claim, now=LATER)
    assert recovery.reap_lost_batches(now=LATER + timedelta(seconds=59)) == 0


def test_the_mark_is_committed_before_anything_of_its_window_is_sent(engine: Engine) -> None:
    run = make_run(recipients=9)
    seen: list[tuple[int, int]] = []
    engine.script = lambda message: (
        seen.append((message.seq, Batch.objects.get().mark)) or Outcome.SENT  # type: ignore[func-returns-value]
    )
    send_all(run)
    assert all(seq < mark <= seq + 3 for seq, mark in seen)


# --- What staff do ---------------------------------------------------------------------------


def test_pause_stops_at_the_next_window_and_resume_goes_on(engine: Engine) -> None:
    run = make_run(recipients=9)

    def script(message: object) -> Outcome:
        if len(engine.taken) == 1:
            control.pause_run(run.pk, by=None, now=NOW)
        return Outcome.SENT

    engine.script = script
    send_all(run)
    assert states(run) == {"sent": 3, "pending": 6}
    assert ringing.take_bells(now=LATER, processes=2) == []
    engine.script = lambda _message: Outcome.SENT
    control.resume_run(run.pk, by=None, now=LATER)
    send_all(run, now=LATER)
    assert states(run) == {"sent": 9}
    assert run.state == "finished"
    check_invariants(run, taken=engine.taken)


def test_cancel_lets_through_only_what_is_on_its_way(engine: Engine) -> None:
    run = make_run(recipients=25)

    def script(message: object) -> Outcome:
        if len(engine.taken) == 1:
            control.cancel_run(run.pk, by=None, now=NOW)
        return Outcome.SENT

    engine.script = script
    send_all(run)
    assert states(run) == {"sent": 3, "cancelled": 22}
    assert run.state == "cancelled"
    assert not Batch.objects.exclude(state="done").exists()
    with pytest.raises(NotPossible):
        control.resume_run(run.pk, by=None, now=LATER)
    check_invariants(run, taken=engine.taken)


def test_what_slips_into_a_cancelled_run_is_swept(engine: Engine) -> None:
    run = make_run(recipients=3)
    Run.objects.filter(pk=run.pk).update(state="cancelled")
    assert recovery.tick(now=LATER)["swept"] == 3
    assert states(run) == {"cancelled": 3}


def test_retry_sends_only_the_failed(engine: Engine) -> None:
    run = make_run(recipients=9)
    engine.script = lambda message: (
        {"outcome": Outcome.FAILED, "problem": f"55{message.seq % 2}"}
        if message.seq <= 4
        else Outcome.SENT
    )
    send_all(run)
    assert run.state == "sending"
    engine.script = lambda _message: Outcome.SENT
    assert control.retry_failed(run.pk, by=None, now=LATER, problem="551").done == 2
    send_all(run, now=LATER)
    assert states(run) == {"sent": 7, "failed": 2}
    assert control.retry_failed(run.pk, by=None, now=LATER).done == 2
    send_all(run, now=LATER)
    assert states(run) == {"sent": 9}
    assert Audit.objects.filter(run=run, action="retry").count() == 2
    with pytest.raises(NotPossible):
        control.retry_failed(run.pk, by=None, now=LATER)
    check_invariants(run, taken=engine.taken)


def test_retry_leaves_who_is_suppressed_as_they_failed(engine: Engine) -> None:
    run = make_run(recipients=4)
    engine.script = lambda _message: {"outcome": Outcome.FAILED, "reply": "5.1.1 nobody"}
    send_all(run)
    now_dead, gone, later_dead, _alive = Delivery.objects.filter(run=run).order_by("seq")
    Suppression.objects.create(address=now_dead.address)
    assert gone.recipient is not None
    gone.recipient.subscriptions.update(state=SubscriptionState.UNSUBSCRIBED)
    engine.script = lambda _message: Outcome.SENT
    assert control.retry_failed(run.pk, by=None, now=LATER).done == 2
    Suppression.objects.create(address=later_dead.address)
    send_all(run, now=LATER)
    assert states(run) == {"sent": 1, "failed": 2, "skipped": 1}
    now_dead.refresh_from_db()
    assert (now_dead.state, now_dead.code, now_dead.reply) == ("failed", 550, "5.1.1 nobody")
    entry = Audit.objects.get(run=run, action="retry")
    assert entry.count == 2
    assert "1 suppressed" in entry.detail
    assert "1 unsubscribed" in entry.detail
    with pytest.raises(NotPossible, match=r"left out \(1 suppressed, 1 unsubscribed\)"):
        control.retry_failed(run.pk, by=None, now=LATER)
    check_invariants(run, taken=engine.taken)


# --- Ringing ---------------------------------------------------------------------------------


def test_few_batches_are_rung_at_a_time_and_the_smaller_run_is_not_stuck() -> None:
    make_run(recipients=60)
    small = make_run(recipients=2, now=LATER)
    bells = ringing.take_bells(now=LATER, processes=2)
    assert len(bells) == 4
    assert small.batches.get().pk in {bell.pk for bell in bells}
    assert ringing.take_bells(now=LATER, processes=2) == []


def test_many_who_ring_at_once_ring_for_no_more() -> None:
    for _ in range(3):
        make_run(recipients=30)
    bells = together(lambda: ringing.take_bells(now=LATER, processes=2), threads=6)
    assert sum(len(taken) for taken in bells) == 4
    assert Batch.objects.filter(rung_at__isnull=False).count() == 4


def test_a_bell_that_nobody_heard_is_rung_again() -> None:
    run = make_run(recipients=2)
    first = ringing.take_bells(now=NOW, processes=1)
    assert ringing.take_bells(now=NOW, processes=1) == []
    again = ringing.take_bells(now=LATER, processes=1)
    assert [bell.pk for bell in first] == [bell.pk for bell in again]
    ringing.unring(again[0])
    assert len(ringing.take_bells(now=LATER, processes=1)) == 1
    assert run.batches.get().rung_at == LATER


def test_no_more_batches_than_the_relay_has_connections() -> None:
    run = make_run(recipients=60)
    Relay.objects.update(connections=1)
    assert len(ringing.take_bells(now=NOW, processes=8)) == 1
    assert run.batches.filter(rung_at__isnull=False).count() == 1


def test_a_second_run_waits_for_the_first_pass_of_the_one_before(engine: Engine) -> None:
    mailing = make_mailing(recipients=2)
    first = make_run(mailing=mailing)
    second = planning.start_now(
        mailing, moment=LATER, trigger=Run.Trigger.STAFF, by=None, now=LATER
    )
    assert planning.prepare_run(second.pk, now=LATER) is None
    second.refresh_from_db()
    assert str(first.pk) in second.reason
    engine.script = lambda _message: Outcome.DEFERRED  # a deferred tail blocks nothing
    send_all(first)
    assert planning.prepare_run(second.pk, now=LATER) is not None


# --- Things that break -----------------------------------------------------------------------


def test_a_database_that_fails_while_recording_loses_no_outcome(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(recipients=9)
    real, failures = windows.record_results, iter([False, True, True, False])

    def record(*args: Any, **kwargs: Any) -> Any:
        if args[1] and next(failures, False):
            raise OperationalError("database is locked")
        return real(*args, **kwargs)

    monkeypatch.setattr(windows, "record_results", record)
    with pytest.raises(OperationalError):
        send_one(run.batches.get())
    assert states(run) == {"sent": 6, "pending": 3}
    assert run.state == "sending"
    send_all(run)
    assert states(run) == {"sent": 9}
    check_invariants(run, taken=engine.taken)


def test_a_commit_that_nobody_heard_of_is_not_recorded_twice(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(recipients=9)
    real, calls = sending.next_window, iter(range(100))

    def deaf(*args: Any, **kwargs: Any) -> Any:
        window = real(*args, **kwargs)
        if next(calls) == 1:
            raise OperationalError("server closed the connection unexpectedly")
        return window

    monkeypatch.setattr(sending, "next_window", deaf)
    with pytest.raises(OperationalError):
        send_one(run.batches.get())
    assert states(run) == {"sent": 3, "pending": 6}
    send_all(run)
    assert states(run) == {"sent": 9}
    check_invariants(run, taken=engine.taken)


def test_a_batch_that_cannot_be_opened_holds_its_run_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = make_run(recipients=3)

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("The stored password cannot be read")

    monkeypatch.setattr(sending, "open_sender", refuse)
    with pytest.raises(ValueError, match="password"):
        send_one(run.batches.get())
    assert states(run) == {"pending": 3}
    assert run.state == "paused"
    assert "password cannot be read" in run.reason
    assert not run.batches.filter(state="sending").exists()


def test_a_mistake_while_sending_leaves_one_message_uncertain_and_holds_the_run(
    engine: Engine,
) -> None:
    run = make_run(recipients=9)

    def script(message: object) -> Outcome | BaseException:
        return KeyError("x") if len(engine.taken) == 4 else Outcome.SENT

    engine.script = script
    with pytest.raises(KeyError):
        send_one(run.batches.get())
    # The fifth may have left before the mistake: it must not be sent again by itself.
    assert states(run) == {"sent": 4, "uncertain": 1, "pending": 4}
    assert (run.state, run.reason) == ("paused", "KeyError: 'x'")
    engine.script = lambda _message: Outcome.SENT
    control.resume_run(run.pk, by=None, now=LATER)
    send_all(run, now=LATER)
    assert states(run) == {"sent": 8, "uncertain": 1}
    check_invariants(run, taken=engine.taken)


def test_a_window_that_ended_early_is_closed_before_the_next_is_marked(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(recipients=9)
    held = iter([True, True, False])
    monkeypatch.setattr(claiming.Claim, "is_held", lambda _claim: next(held, True))
    send_one(run.batches.get())
    done = run.batches.get(state="done")
    assert done.mark == 1 + 2  # back to what was tried
    assert states(run) == {"sent": 2, "pending": 7}


def test_mail_that_waits_past_the_expiry_of_its_run_is_given_up() -> None:
    run = make_run(recipients=3)
    recovery.tick(now=NOW + timedelta(hours=97))
    assert states(run) == {"failed": 3}
    assert run.state == "finished"
    assert Delivery.objects.filter(run=run).first().problem == "expired"  # type: ignore[union-attr]


def test_a_rate_is_waited_for_outside_a_window(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(recipients=6)
    Relay.objects.update(rate_per_second=0.4, connections=1)  # two messages in five seconds
    naps: list[tuple[int, float]] = []

    def nap(seconds: float) -> None:
        clock[0] += timedelta(seconds=seconds)
        batch = run.batches.get(state="sending")
        pending = run.deliveries.filter(seq__lt=batch.mark, state="pending").count()
        naps.append((pending, seconds))

    clock = [NOW]
    monkeypatch.setattr("mailer.services.sending.time.sleep", nap)
    sending.send_batch(
        run.batches.get().pk,
        task_id="t",
        worker="w",
        clock=lambda: clock[0],
        stopping=lambda: False,
    )
    assert states(run) == {"sent": 6}
    assert clock[0] >= NOW + timedelta(seconds=10)
    # But for the moment that it takes to get ready.
    assert max(seconds for pending, seconds in naps if pending) <= LEAD.total_seconds()


def test_several_connections_meeting_one_hiccup_pause_the_relay_once() -> None:
    run = make_run(recipients=3)
    batch = run.batches.get()
    for _ in range(6):
        relays.note_trouble(batch, RelayTrouble("pause", "relay:25 hung up"), now=NOW)
    relay = Relay.objects.get()
    assert relay.failures_in_a_row == 1
    assert relay.paused_until == NOW + timedelta(seconds=30)


def test_a_pause_outlives_what_another_worker_was_told_before_it() -> None:
    run = make_run(recipients=3)
    batch = run.batches.get()
    relays.note_trouble(batch, RelayTrouble("pause", "relay:25 421"), now=NOW)
    relays.note_success(batch.relay, now=NOW + timedelta(seconds=1))
    relay = Relay.objects.get()
    assert (relay.failures_in_a_row, relay.pause_reason) == (1, "relay:25 421")
    assert relay.is_paused(now=NOW)
    relays.note_success(batch.relay, now=LATER)
    relay.refresh_from_db()
    assert (relay.failures_in_a_row, relay.paused_until) == (0, None)


def test_a_relay_that_became_slow_keeps_no_process_past_the_batchs_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    run, clock = make_run(recipients=9), [0.0]
    monkeypatch.setattr(sending.time, "monotonic", lambda: clock[0])

    def script(message: object) -> Outcome:
        clock[0] += settings.MAILER_BATCH_SECONDS / 1.5
        return Outcome.SENT

    engine.script = script
    settings.MAILER_LEASE_SECONDS = 10 * settings.MAILER_BATCH_SECONDS
    send_one(run.batches.get())
    assert states(run) == {"sent": 2, "pending": 7}
    check_invariants(run, taken=engine.taken)


def test_a_run_resumed_after_its_time_has_it_anew() -> None:
    run = make_run(recipients=3)
    control.pause_run(run.pk, by=None, now=NOW)
    Run.objects.update(expires_at=NOW)
    control.resume_run(run.pk, by=None, now=LATER)
    run.refresh_from_db()
    assert run.expires_at == LATER + run.mailing.expires_after


def test_a_retry_that_a_cancel_overtook_changes_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(recipients=3)
    engine.script = lambda m: Outcome.FAILED if m.seq == 1 else Outcome.DEFERRED
    send_all(run)
    real = sending_again.try_again

    def overtaken(*args: Any, **kwargs: Any) -> int:
        Run.objects.filter(pk=run.pk).update(state="cancelled")
        return real(*args, **kwargs)

    monkeypatch.setattr(sending_again, "try_again", overtaken)
    with pytest.raises(NotPossible):
        control.retry_failed(run.pk, by=None, now=LATER)
    assert states(run) == {"failed": 1, "deferred": 2}
    assert not Audit.objects.filter(run=run, action="retry").exists()


def test_a_move_that_the_table_does_not_know_is_refused() -> None:
    run = make_run(recipients=1)
    with pytest.raises(ValueError, match="sent to pending"):
        count_moves(run.pk, {(DeliveryState.SENT, DeliveryState.PENDING): 1})


def test_a_cancel_is_noticed_at_the_next_message_of_a_slow_window(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0)
    run = make_run(recipients=9)

    def script(message: object) -> Outcome:
        if len(engine.taken) == 1:
            control.cancel_run(run.pk, by=None, now=NOW)
        return Outcome.SENT

    engine.script = script
    send_all(run)
    assert states(run) == {"sent": 2, "cancelled": 7}


def test_a_window_is_as_long_as_the_relay_is_fast(settings: Settings) -> None:
    settings.MAILER_WINDOW_SIZE = 100
    batch = make_run(recipients=1, breaker_percent=None).batches.get()
    sizes = [windows.window_size(batch, per_second=speed) for speed in (0.1, 2, 15, 5000)]
    assert sizes == [1, 10, 75, 100]
    batch.relay.rate_per_second = 4
    assert windows.window_size(batch, per_second=5000) == 20
