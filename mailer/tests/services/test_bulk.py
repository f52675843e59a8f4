"""What is asked for many deliveries at once: piece by piece, nobody twice, whoever dies in it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import QuerySet

from mailer.engine.sender import Outcome
from mailer.models import Audit, Batch, BulkAction, Delivery, Run, Suppression
from mailer.services import bulk, control, recovery, ringing
from mailer.services.retrying import try_again
from mailer.states import DeliveryState
from mailer.tests.factories import NOW, make_run
from mailer.tests.ledger import Engine, check_invariants, send_all
from mailer.tests.threads import together

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

LATER = NOW + timedelta(hours=1)
REFUSED = {"outcome": Outcome.FAILED, "problem": "550 5.2.2", "code": 550}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "PIECE", 2)


@pytest.fixture
def refused(engine: Engine) -> Run:
    """A finished run: 7 failed."""
    run = make_run(recipients=7)
    engine.script = lambda _message: REFUSED
    send_all(run)
    assert states(run) == {"failed": 7}
    return run


def states(run: Run) -> dict[str, int]:
    run.refresh_from_db()
    return {name: n for name, n in run.by_state.items() if n}


def nothing_by_query(query: str) -> QuerySet[Delivery]:
    raise AssertionError(f"asked for {query!r}")


def work_off(
    action: BulkAction, *, find: Callable[[str], QuerySet[Delivery]] = nothing_by_query
) -> int:
    done = bulk.work_off(action.pk, find=find, clock=lambda: LATER)
    action.refresh_from_db()
    return done


def test_the_first_piece_is_done_at_once_and_workers_do_the_rest(refused: Run) -> None:
    action = control.retry_failed(refused.pk, by=None, now=LATER)
    assert (action.done, action.expected, action.finished_at) == (2, 7, None)
    assert states(refused) == {"failed": 5, "pending": 2}
    assert work_off(action) == 5
    assert action.finished_at == LATER
    assert states(refused) == {"pending": 7}
    entry = Audit.objects.get(run=refused, action="retry")
    assert (entry.count, entry.at) == (7, LATER)
    check_invariants(refused)


def test_what_fails_again_meanwhile_is_not_sent_a_third_time(refused: Run) -> None:
    action = control.retry_failed(refused.pk, by=None, now=LATER)
    send_all(refused, now=LATER)  # refused again, beside the action
    assert states(refused) == {"failed": 7}
    work_off(action)
    send_all(refused, now=LATER)
    assert set(Delivery.objects.values_list("attempts", flat=True)) == {2}
    assert (action.done, action.finished_at) == (7, LATER)
    check_invariants(refused)


def test_a_worker_that_dies_in_a_piece_leaves_it_to_the_next(
    refused: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = control.retry_failed(refused.pk, by=None, now=LATER)

    def die(*args: Any, **kwargs: Any) -> int:
        try_again(*args, **kwargs)
        raise SystemExit

    with monkeypatch.context() as dying:
        dying.setattr("mailer.services.sending_again.try_again", die)
        with pytest.raises(SystemExit):
            work_off(action)
    assert states(refused) == {"failed": 5, "pending": 2}
    assert work_off(action) == 5
    assert Audit.objects.get(run=refused, action="retry").count == 7
    check_invariants(refused)


def test_many_workers_do_each_once(engine: Engine) -> None:
    run = make_run(recipients=60)
    engine.script = lambda _message: REFUSED
    send_all(run)
    action = control.retry_failed(run.pk, by=None, now=LATER)
    done = together(lambda: bulk.work_off(action.pk, find=nothing_by_query, clock=lambda: LATER))
    assert sum(done) == 58
    action.refresh_from_db()
    assert (action.done, action.finished_at) == (60, LATER)
    assert Audit.objects.get(run=run, action="retry").count == 60
    assert states(run) == {"pending": 60}
    check_invariants(run)


def test_it_goes_on_with_what_its_list_finds(refused: Run) -> None:
    def find(query: str) -> QuerySet[Delivery]:
        assert query == "odd=1"
        return Delivery.objects.filter(seq__in=[1, 3, 5, 7])

    action = control.retry_failed(
        refused.pk, by=None, now=LATER, deliveries=find("odd=1"), query="odd=1"
    )
    assert (action.done, action.expected, action.keys) == (2, 4, None)
    assert work_off(action, find=find) == 2
    assert states(refused) == {"failed": 3, "pending": 4}


def test_without_a_query_it_keeps_which_they_were(refused: Run) -> None:
    some = Delivery.objects.filter(run=refused, seq__gt=2)
    action = control.retry_failed(refused.pk, by=None, now=LATER, deliveries=some)
    assert (action.done, len(action.keys or [])) == (2, 3)
    assert work_off(action) == 3
    assert states(refused) == {"failed": 2, "pending": 5}


def test_who_is_left_out_is_counted_as_it_goes(refused: Run) -> None:
    for delivery in Delivery.objects.filter(run=refused, seq__in=[1, 2, 6]):
        Suppression.objects.create(address=delivery.address)
    action = control.retry_failed(refused.pk, by=None, now=LATER)
    assert (action.done, action.left_out, action.finished_at) == (0, {"suppressed": 2}, None)
    assert work_off(action) == 4
    assert states(refused) == {"failed": 3, "pending": 4}
    entry = Audit.objects.get(run=refused, action="retry")
    assert (entry.count, entry.detail) == (4, "Left out: 3 suppressed.")


def test_it_ends_with_its_run_and_says_so(refused: Run) -> None:
    action = control.retry_failed(refused.pk, by=None, now=LATER)
    control.cancel_run(refused.pk, by=None, now=LATER)
    assert work_off(action) == 0
    assert (action.done, action.finished_at) == (2, LATER)
    assert states(refused) == {"failed": 5, "cancelled": 2}
    entry = Audit.objects.get(run=refused, action="retry")
    assert (entry.count, "nothing in it can be sent again" in entry.detail) == (2, True)


def test_a_later_piece_leaves_the_breaker_as_it_is(refused: Run) -> None:
    action = control.retry_failed(refused.pk, by=None, now=LATER)
    Run.objects.filter(pk=refused.pk).update(state="paused", reason="Too many.", refused=9)
    work_off(action)
    refused.refresh_from_db()
    assert (refused.state, refused.reason, refused.refused) == ("paused", "Too many.", 9)
    assert states(refused) == {"pending": 7}


@pytest.mark.parametrize("to", ["sent", "failed", "pending"])
def test_uncertain_ones_are_resolved_piece_by_piece(engine: Engine, to: str) -> None:
    run = make_run(recipients=5)
    engine.script = lambda _message: Outcome.UNCERTAIN
    send_all(run)
    action = control.resolve_uncertain(run.pk, to=DeliveryState(to), by=None, now=LATER)
    assert states(run) == {"uncertain": 3, to: 2}
    assert work_off(action) == 3
    assert states(run) == {to: 5}
    check_invariants(run, taken=engine.taken if to == "sent" else ())


def test_a_cancel_follows_what_is_moved_to_the_tail(engine: Engine) -> None:
    run = make_run(recipients=6)
    engine.script = lambda _message: {"outcome": Outcome.DEFERRED, "problem": "451"}
    send_all(run)
    Delivery.objects.filter(run=run).update(retry_at=LATER)
    action = control.cancel_waiting(run.pk, by=None, now=LATER)
    assert states(run) == {"deferred": 4, "cancelled": 2}
    assert recovery.retry_due(now=LATER) == 4  # they wait at the tail now
    assert work_off(action) == 4
    assert states(run) == {"cancelled": 6}
    assert run.state == "finished"
    check_invariants(run)


def test_it_is_rung_for_until_it_is_finished(refused: Run) -> None:
    def bells(now: Any) -> list[int]:
        Batch.objects.filter(run=refused).update(state="done")
        rung = ringing.take_bells(now=now, processes=1)
        return [bell.pk for bell in rung if bell.work == "act"]

    action = control.retry_failed(refused.pk, by=None, now=NOW)
    assert bells(NOW) == [action.pk]
    assert bells(NOW) == []
    assert bells(LATER) == [action.pk]  # the broker must have lost it
    ringing.unring(ringing.Bell("act", action.pk, ""))
    assert bells(LATER) == [action.pk]
    # A worker that is asked to stop leaves the rest to the next.
    bulk.work_off(action.pk, find=nothing_by_query, clock=lambda: LATER, stopping=lambda: True)
    assert bells(LATER) == [action.pk]
    work_off(action)
    assert bells(LATER + timedelta(hours=1)) == []
