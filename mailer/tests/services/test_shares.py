"""Several relays for one mailing: by share, or while others are paused; each message once."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from mailer.engine.sender import Outcome, Outgoing, RelayTrouble
from mailer.models import Batch, Mailing, MailingRelay, Relay, Run
from mailer.services import claiming, ringing, sending
from mailer.services.shares import split_by_share, usable_relay
from mailer.states import BatchState, RunState
from mailer.tests.factories import NOW, make_mailing, make_relay, make_run
from mailer.tests.ledger import Engine, check_invariants

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.fixture(autouse=True)
def _small(settings: Settings) -> None:
    settings.MAILER_BATCH_SIZE = 10


def two_relays(*, share: int, further: int, recipients: int = 90) -> tuple[Mailing, list[Relay]]:
    relays = [make_relay(), make_relay()]
    mailing = make_mailing(recipients=recipients, relay=relays[0], relay_share=share)
    MailingRelay.objects.create(mailing=mailing, relay=relays[1], share=further)
    return mailing, relays


def through(run: Run, **states: str) -> Counter[int]:
    """How many deliveries lie in batches for each relay."""
    count: Counter[int] = Counter()
    for batch in run.batches.filter(**states):
        count[batch.relay_id] += batch.size
    return count


def work(now: datetime) -> None:
    for bell in ringing.take_bells(now=now, processes=4):
        sending.send_batch(
            bell.pk, task_id="t", worker="w", clock=lambda: now, stopping=lambda: False
        )


@pytest.mark.parametrize(("share", "further", "parts"), [(2, 1, [60, 30]), (1, 0, [90, 0])])
def test_a_run_is_split_by_shares(share: int, further: int, parts: list[int]) -> None:
    mailing, relays = two_relays(share=share, further=further)
    count = through(make_run(mailing=mailing))
    assert [count[relay.pk] for relay in relays] == parts


def test_even_few_messages_are_split_and_none_is_left_over() -> None:
    run = Run(relay_id=1, shares={"1": 1, "2": 1, "3": 5, "4": 0})
    for count in range(50):
        parts = dict(split_by_share(run, count=count))
        assert sum(parts.values()) == count
        assert 4 not in parts
        assert abs(parts.get(3, 0) - count * 5 / 7) <= 1


def test_many_runs_of_one_message_are_shared_as_well() -> None:
    runs = [Run(pk=pk, relay_id=1, shares={"1": 1, "2": 2}) for pk in range(1, 31)]
    through = Counter(relay for run in runs for relay, _one in split_by_share(run, count=1))
    assert through == {1: 10, 2: 20}


def test_the_largest_share_that_can_be_used_takes_the_place_of_a_paused_relay() -> None:
    soon = NOW + timedelta(minutes=5)
    relays = {pk: Relay(pk=pk, connections=1) for pk in (1, 2, 3, 4, 5)}
    relays[1].paused_until = relays[2].paused_until = soon
    relays[3].waits_until = soon
    shares = {"1": 9, "2": 8, "3": 7, "5": 5, "4": 6}

    def used(taken: dict[int, int]) -> Relay | None:
        return usable_relay(1, shares, relays=relays, taken=taken, now=NOW)

    assert used({}) == relays[4]
    assert used({4: 1}) == relays[5]
    assert used({4: 1, 5: 1}) is None


def test_what_waits_for_a_paused_relay_leaves_through_the_other(engine: Engine) -> None:
    mailing, (first, second) = two_relays(share=1, further=0)
    run = make_run(mailing=mailing)
    Relay.objects.filter(pk=first.pk).update(
        paused_until=NOW + timedelta(minutes=5), failures_in_a_row=1
    )
    while run.state != RunState.FINISHED:
        work(NOW)
        run.refresh_from_db()
    check_invariants(run, taken=engine.taken)
    assert through(run) == {second.pk: 90}


def test_each_message_goes_through_one_relay_when_the_first_breaks_down(engine: Engine) -> None:
    mailing, (first, second) = two_relays(share=1, further=0)
    run = make_run(mailing=mailing)
    taken = engine.taken
    engine.script = lambda _message: (
        RelayTrouble("pause", "gone") if len(taken) == 25 else Outcome.SENT
    )
    work(NOW)
    engine.script = lambda _message: Outcome.SENT
    while run.state != RunState.FINISHED:
        work(NOW)
        run.refresh_from_db()
    check_invariants(run, taken=engine.taken)
    assert len(set(engine.taken)) == len(engine.taken) == 90
    by_relay = through(run, state="done")
    assert by_relay.keys() == {first.pk, second.pk}


def test_a_batch_that_changed_its_relay_is_not_claimed_for_the_old_one() -> None:
    mailing, (_first, second) = two_relays(share=1, further=0, recipients=5)
    run = make_run(mailing=mailing)
    Relay.objects.filter(pk=run.relay_id).update(paused_until=NOW + timedelta(minutes=5))
    (bell,) = ringing.take_bells(now=NOW, processes=1)
    claim = claiming.claim_batch(bell.pk, task_id="t", worker="w", now=NOW)
    assert claim is not None
    assert claim.batch.relay == second


def test_while_a_relay_is_being_found_out_about_the_rest_leaves_through_the_other() -> None:
    mailing, (first, second) = two_relays(share=1, further=0)
    run = make_run(mailing=mailing)
    Relay.objects.filter(pk=first.pk).update(
        paused_until=NOW - timedelta(seconds=1), failures_in_a_row=3
    )
    bells = ringing.take_bells(now=NOW, processes=2)
    through = [run.batches.get(pk=bell.pk).relay_id for bell in bells]
    assert through == [first.pk, second.pk, second.pk, second.pk]


def test_a_message_that_nothing_was_said_about_is_followed_by_one_more(engine: Engine) -> None:
    run = make_run(recipients=9, relay=make_relay(failures_in_a_row=1))
    batch = run.batches.get()
    marks: list[int] = []

    def script(message: Outgoing) -> Outcome | dict[str, Any]:
        marks.append(Batch.objects.get(pk=batch.pk).mark - batch.first_seq)
        # The first two cannot be written, and never reach the relay.
        return {"outcome": Outcome.FAILED, "code": None} if message.seq < 3 else Outcome.SENT

    engine.script = script
    sending.send_batch(batch.pk, task_id="t", worker="w", clock=lambda: NOW, stopping=lambda: False)
    assert marks == [1, 2, 3, *[9] * 6]
    check_invariants(run, taken=engine.taken)


def test_after_trouble_one_message_goes_first(engine: Engine) -> None:
    relay = make_relay()
    run = make_run(recipients=90, relay=relay)
    Relay.objects.filter(pk=relay.pk).update(
        failures_in_a_row=1, paused_until=NOW - timedelta(seconds=1)
    )
    bells = ringing.take_bells(now=NOW, processes=8)
    assert len(bells) == 1
    marks: list[int] = []
    batch = Batch.objects.get(pk=bells[0].pk)

    def look(_message: object) -> Outcome:
        marks.append(Batch.objects.get(pk=batch.pk).mark - batch.first_seq)
        return Outcome.SENT

    engine.script = look
    sending.send_batch(batch.pk, task_id="t", worker="w", clock=lambda: NOW, stopping=lambda: False)
    assert marks[0] == 1
    assert marks[1] > 2
    assert len(ringing.take_bells(now=NOW, processes=8)) == 4  # the flood
    check_invariants(run, taken=engine.taken)
    assert not run.batches.filter(state=BatchState.SENDING).exists()
