"""Cancelling some of a run: what waits, and nothing that may be on its way."""

from datetime import timedelta
from typing import Any

import pytest

from mailer.engine.sender import Outcome
from mailer.exceptions import NotPossible
from mailer.models import Audit, Batch, Delivery, Run
from mailer.services import claiming, control, recovery, windows
from mailer.services.control import cancel_waiting
from mailer.tests.factories import NOW, make_run
from mailer.tests.ledger import Engine, check_invariants, send_all
from mailer.tests.threads import together

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def of(run: Run, *seqs: int) -> Any:
    return Delivery.objects.filter(run=run, seq__in=seqs)


def states(run: Run) -> dict[str, int]:
    run.refresh_from_db()
    return {name: n for name, n in run.by_state.items() if n}


def test_those_that_wait_are_cancelled_and_the_others_leave(engine: Engine) -> None:
    run = make_run(recipients=6)
    assert cancel_waiting(run.pk, deliveries=of(run, 2, 4), by=None, now=NOW).done == 2
    assert states(run) == {"pending": 4, "cancelled": 2}
    send_all(run)
    check_invariants(run, taken=engine.taken)
    assert states(run) == {"sent": 4, "cancelled": 2}
    assert run.state == "finished"
    entry = Audit.objects.get(run=run, action="some")
    assert (entry.count, entry.actor) == (2, None)


def test_what_lies_below_the_mark_is_left_alone(engine: Engine) -> None:
    run = make_run(recipients=6)
    claim = claiming.claim_batch(Batch.objects.get(run=run).pk, task_id="t", worker="w", now=NOW)
    assert claim is not None
    window = windows.next_window(claim, [], now=NOW, go_on=True, size=3)
    assert window is not None
    assert len(window) == 3
    everything = Delivery.objects.filter(run=run)
    assert cancel_waiting(run.pk, deliveries=everything, by=None, now=NOW).done == 3
    assert states(run) == {"pending": 3, "cancelled": 3}
    with pytest.raises(NotPossible, match="none of these waits any more"):
        cancel_waiting(run.pk, deliveries=everything, by=None, now=NOW)
    # The worker dies: what it had may have left, and no more.
    recovery.tick(now=NOW + timedelta(hours=1))
    assert states(run) == {"uncertain": 3, "cancelled": 3}
    check_invariants(run)


def test_what_was_put_off_keeps_its_reply_and_the_run_is_finished(engine: Engine) -> None:
    run = make_run(recipients=2)
    reply = {"outcome": Outcome.DEFERRED, "problem": "451", "reply": "451 later", "code": 451}
    engine.script = lambda message: reply if message.seq == 2 else Outcome.SENT
    send_all(run)
    assert states(run) == {"sent": 1, "deferred": 1}
    put_off = Delivery.objects.filter(run=run, state="deferred")
    assert cancel_waiting(run.pk, deliveries=put_off, by=None, now=NOW).done == 1
    assert states(run) == {"sent": 1, "cancelled": 1}
    assert run.state == "finished"
    delivery = Delivery.objects.get(run=run, state="cancelled")
    assert (delivery.reply, delivery.retry_at) == ("451 later", None)
    check_invariants(run, taken=engine.taken)


def test_others_of_other_runs_are_not_touched() -> None:
    run, other = make_run(recipients=3), make_run(recipients=3)
    cancel_waiting(run.pk, deliveries=Delivery.objects.all(), by=None, now=NOW)
    assert states(run) == {"cancelled": 3}
    assert states(other) == {"pending": 3}


@pytest.mark.parametrize("end", ["finished", "cancelled"])
def test_in_a_run_that_is_over_nothing_waits(end: str) -> None:
    run = make_run(recipients=3)
    Run.objects.filter(pk=run.pk).update(state=end)
    with pytest.raises(NotPossible, match=f"is {end}: nothing in it waits"):
        cancel_waiting(run.pk, deliveries=of(run, 1), by=None, now=NOW)
    assert states(run) == {"pending": 3}


def test_many_at_once_cancel_each_once() -> None:
    run = make_run(recipients=40)

    def cancel() -> int:
        try:
            return cancel_waiting(
                run.pk, deliveries=Delivery.objects.filter(run=run), by=None, now=NOW
            ).done
        except NotPossible:
            return 0

    assert sorted(together(cancel)) == [0, 0, 0, 40]
    check_invariants(run)


def test_a_retry_of_some_sends_those_again(engine: Engine) -> None:
    run = make_run(recipients=4)
    engine.script = lambda _message: {"outcome": Outcome.FAILED, "problem": "554 5.7.1"}
    send_all(run)
    engine.script = lambda _message: Outcome.SENT
    some = Delivery.objects.filter(run=run, seq__in=(1, 3))
    assert control.retry_failed(run.pk, by=None, now=NOW, deliveries=some).done == 2
    send_all(run)
    assert states(run) == {"sent": 2, "failed": 2}
    with pytest.raises(NotPossible, match="no failed deliveries to retry"):
        control.retry_failed(run.pk, by=None, now=NOW, deliveries=Delivery.objects.none())
