"""The circuit breaker: too many refusals pause a run, and it goes on where it stopped."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from mailer.engine.sender import Outcome, Outgoing
from mailer.models import Audit, Delivery, Mailing, Run, Suppression
from mailer.services import claiming, control, recovery, sending, windows
from mailer.services.breaker import has_tripped
from mailer.services.progress import Tally
from mailer.states import DeliveryState
from mailer.tests.factories import NOW, make_run
from mailer.tests.ledger import Engine, check_invariants, result, send_all

from .test_ledger import LATER, states

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

DEAD = {
    "outcome": Outcome.FAILED, "problem": "550 5.1.1", "enhanced_status": "5.1.1",
    "suppress": "now",
}  # fmt: skip
POLICY = {"outcome": Outcome.FAILED, "problem": "550 5.7.1", "enhanced_status": "5.7.1"}


@pytest.fixture(autouse=True)
def _small(settings: Settings) -> None:
    settings.MAILER_BATCH_SIZE, settings.MAILER_WINDOW_SIZE = 100, 10


def tries(run: Run) -> tuple[int, int, int]:
    run.refresh_from_db()
    return run.tried, run.refused, run.refused_by_policy


@pytest.mark.parametrize(
    ("tally", "tripped"),
    [
        (Tally(200, 10, 0, 1), True),
        (Tally(199, 199, 0, 1), False),
        (Tally(200, 9, 0, 1), False),
        (Tally(1000, 49, 9, 1), False),
        (Tally(20, 3, 3, 1), True),
        (Tally(19, 19, 19, 1), False),  # a tenth of 200 are to be tried at least
        (Tally(20, 20, 2, 1), False),  # three are to be refused at least
        (Tally(80, 3, 3, 1), False),
    ],
)
def test_when_it_trips(tally: Tally, *, tripped: bool) -> None:
    assert has_tripped(tally, percent=5, after=200) is tripped
    assert not has_tripped(tally, percent=None, after=1)


def test_by_policy_never_fewer_than_ten_are_tried() -> None:
    assert not has_tripped(Tally(9, 9, 9, 1), percent=5, after=50)
    assert has_tripped(Tally(10, 10, 10, 1), percent=5, after=50)
    assert has_tripped(Tally(3, 3, 3, 1), percent=5, after=3)  # as any refusal would


def test_a_list_of_dead_addresses_is_not_suppressed_as_a_whole(engine: Engine) -> None:
    run = make_run(recipients=220)
    engine.script = lambda _message: DEAD
    send_all(run)
    assert states(run) == {"failed": 200, "pending": 20}
    assert run.state == "paused"
    assert run.reason == (
        "Paused by itself: 200 of the 200 tried (100\N{NO-BREAK SPACE}%) were refused, most often"
        " with “550 5.1.1”. Look at why below, then resume or cancel it."
    )
    entry = Audit.objects.get(run=run, action="break")
    assert (entry.detail, entry.actor, entry.at) == (run.reason, None, NOW)
    assert Suppression.objects.count() == 200
    assert not run.batches.exclude(state__in=["ready", "done"]).exists()
    check_invariants(run, taken=engine.taken)


def test_it_goes_on_where_it_stopped_and_does_not_trip_at_once(engine: Engine) -> None:
    run = make_run(recipients=120, breaker_after=50)
    engine.script = lambda message: DEAD if message.seq % 10 == 0 else Outcome.SENT
    send_all(run)
    assert states(run) == {"sent": 45, "failed": 5, "pending": 70}
    assert "5 of the 50 tried (10\N{NO-BREAK SPACE}%)" in run.reason
    control.resume_run(run.pk, by=None, now=LATER)
    assert tries(run) == (0, 0, 0)
    engine.script = lambda _message: Outcome.SENT
    send_all(run, now=LATER)
    assert states(run) == {"sent": 115, "failed": 5}
    assert run.state == "finished"
    check_invariants(run, taken=engine.taken)


def test_a_retry_begins_to_count_anew(engine: Engine) -> None:
    run = make_run(recipients=40)
    engine.script = lambda message: Outcome.FAILED if message.seq <= 4 else Outcome.SENT
    send_all(run)
    assert tries(run) == (40, 4, 0)
    control.retry_failed(run.pk, by=None, now=LATER)
    assert tries(run) == (0, 0, 0)
    engine.script = lambda _message: Outcome.UNCERTAIN
    send_all(run, now=LATER)
    assert tries(run) == (0, 0, 0)
    Run.objects.update(tried=40)
    control.resolve_uncertain(run.pk, to=DeliveryState.PENDING, by=None, now=LATER)
    assert tries(run) == (0, 0, 0)


def test_policy_trips_it_earlier_and_names_its_own_reply(engine: Engine) -> None:
    run = make_run(recipients=100)
    engine.script = lambda m: DEAD if m.seq % 2 else POLICY if m.seq % 4 == 0 else Outcome.SENT
    send_all(run)
    assert states(run) == {"failed": 15, "sent": 5, "pending": 80}
    words = "5 of the 20 tried (25\N{NO-BREAK SPACE}%) were refused by policy, most often with"
    assert f"{words} “550 5.7.1”" in run.reason
    check_invariants(run, taken=engine.taken)


def test_a_worker_that_knows_the_relay_is_not_past_it_with_its_first_window(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MAILER_WINDOW_SIZE = 100
    run = make_run(recipients=100)
    monkeypatch.setitem(sending._speeds, run.batches.get().relay_id, 5000)
    engine.script = lambda _message: POLICY
    send_all(run)
    assert states(run) == {"failed": 20, "pending": 80}


def test_windows_grow_once_enough_were_tried(settings: Settings) -> None:
    settings.MAILER_WINDOW_SIZE = 100
    run = make_run(recipients=100)
    claim = claiming.claim_batch(run.batches.get().pk, task_id="t", worker="w", now=NOW)
    assert claim is not None
    assert windows.window_size(claim.batch) == 20
    window = windows.next_window(claim, [], now=NOW)
    assert window is not None
    windows.next_window(claim, [result(message.seq) for message in window[1:]], now=NOW)
    assert windows.window_size(claim.batch) == 20
    windows.next_window(claim, [result(window[0].seq)], now=NOW)
    assert windows.window_size(claim.batch) == 100


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"breaker_after": 500}, 50),
        ({"breaker_after": 30}, 10),
        ({"breaker_percent": None}, 100),
    ],
)
def test_the_first_windows_are_as_long_as_the_breaker_needs(
    settings: Settings, fields: dict[str, Any], size: int
) -> None:
    settings.MAILER_WINDOW_SIZE = 100
    batch = make_run(recipients=1, **fields).batches.get()
    assert windows.window_size(batch) == size
    batch.run.trigger = Run.Trigger.SINGLE
    assert windows.window_size(batch) == 100


def test_what_was_put_off_counts_when_it_comes_to_an_end(engine: Engine) -> None:
    run = make_run(recipients=10)
    engine.script = lambda m: Outcome.DEFERRED if m.seq <= 6 else Outcome.UNCERTAIN
    send_all(run)
    assert tries(run) == (0, 0, 0)
    engine.script = lambda _message: POLICY
    recovery.tick(now=LATER)
    send_all(run, now=LATER)
    assert tries(run) == (6, 6, 6)


@pytest.mark.parametrize("fields", [{"breaker_percent": None}, {"breaker_percent": 12}])
def test_a_mailing_may_stand_more(engine: Engine, fields: dict[str, Any]) -> None:
    run = make_run(recipients=60, breaker_after=20, **fields)
    engine.script = lambda message: DEAD if message.seq % 10 == 0 else Outcome.SENT
    send_all(run)
    assert states(run) == {"sent": 54, "failed": 6}
    assert run.state == "finished"


def test_a_change_of_the_mailing_counts_at_once(engine: Engine) -> None:
    run = make_run(recipients=60, breaker_after=20)

    def script(message: Outgoing) -> Any:
        if message.seq == 5:
            Mailing.objects.update(breaker_percent=None)
        return DEAD

    engine.script = script
    send_all(run)
    assert states(run) == {"failed": 60}


def test_a_run_with_nothing_left_is_finished(engine: Engine) -> None:
    run = make_run(recipients=20, breaker_after=20)
    engine.script = lambda _message: Outcome.FAILED
    send_all(run)
    assert states(run) == {"failed": 20}
    assert run.state == "finished"


def test_a_single_message_never_trips_it(engine: Engine) -> None:
    run = make_run(recipients=20, breaker_after=5)
    Run.objects.update(trigger=Run.Trigger.SINGLE)
    engine.script = lambda _message: Outcome.FAILED
    send_all(run)
    assert run.batches.get().state == "done"
    assert states(run) == {"failed": 20}


def test_a_window_of_another_worker_ends_and_counts(settings: Settings) -> None:
    settings.MAILER_BATCH_SIZE = 20
    run = make_run(recipients=40, breaker_after=10)
    first, second = [
        claiming.claim_batch(pk, task_id="t", worker="w", now=NOW)
        for pk in run.batches.values_list("pk", flat=True).order_by("pk")
    ]
    assert first is not None
    assert second is not None
    mine, theirs = [windows.next_window(claim, [], now=NOW) for claim in (first, second)]
    assert mine is not None
    assert theirs is not None
    refused = [result(message.seq, outcome=Outcome.FAILED) for message in mine]
    assert windows.next_window(first, refused, now=NOW) is None
    assert states(run) == {"failed": 10, "pending": 30}
    assert run.state == "paused"
    assert not Delivery.objects.filter(run=run, attempts=0, state="failed").exists()
    late = [result(message.seq, outcome=Outcome.FAILED) for message in theirs]
    assert windows.next_window(second, late, now=NOW) is None
    assert states(run) == {"failed": 20, "pending": 20}
    assert Audit.objects.filter(run=run, action="break").count() == 1
    assert run.batches.filter(state="ready").count() == 2
    check_invariants(run)


def test_a_worker_that_counts_after_the_one_that_tripped_gets_no_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = make_run(recipients=40)
    claim = claiming.claim_batch(run.batches.get().pk, task_id="t", worker="w", now=NOW)
    assert claim is not None
    window = windows.next_window(claim, [], now=NOW)
    assert window is not None
    real = windows.count_outcomes

    def count(*args: Any, **kwargs: Any) -> Any:
        Run.objects.update(state="paused")  # committed while this one waited for the run's row
        return real(*args, **kwargs)

    monkeypatch.setattr(windows, "count_outcomes", count)
    done = [result(message.seq) for message in window]
    assert windows.next_window(claim, done, now=NOW) is None
    assert states(run) == {"sent": 10, "pending": 30}
    batch = run.batches.get(state="done")
    assert batch.mark == 11
    check_invariants(run, taken=[message.address for message in window])


def test_a_worker_that_dies_as_it_trips_leaves_nothing_uncertain(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(recipients=40, breaker_after=10)
    engine.script = lambda _message: Outcome.FAILED
    real = windows._open_window

    def killed(*args: Any, **kwargs: Any) -> Any:
        if not kwargs["go_on"]:
            raise SystemExit
        return real(*args, **kwargs)

    monkeypatch.setattr(windows, "_open_window", killed)
    with pytest.raises(SystemExit):
        send_all(run)
    monkeypatch.undo()
    recovery.reap_lost_batches(now=LATER)
    assert states(run) == {"failed": 10, "pending": 30}


def test_counting_takes_no_statement_more(engine: Engine) -> None:
    run = make_run(recipients=30)
    claim = claiming.claim_batch(run.batches.get().pk, task_id="t", worker="w", now=NOW)
    assert claim is not None
    window = windows.next_window(claim, [], now=NOW, size=10)
    assert window is not None
    done = [result(message.seq) for message in window[1:]]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        windows.next_window(
            claim, [*done, result(window[0].seq, outcome=Outcome.FAILED)], now=NOW, size=10
        )
    said = [query["sql"].split()[0] for query in queries if "mailer_" in query["sql"]]
    assert said == [
        "UPDATE",
        "WITH" if connection.vendor == "sqlite" else "UPDATE",
        "SELECT",
        "UPDATE",
    ]
