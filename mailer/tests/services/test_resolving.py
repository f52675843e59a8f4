"""Staff say what became of uncertain deliveries: they arrived, they did not, or once more."""

from datetime import timedelta
from typing import Any

import pytest

from mailer.engine.sender import Outcome
from mailer.exceptions import NotPossible
from mailer.models import Attempt, Audit, Delivery, Run
from mailer.services import claiming, control, recovery, sending_again, windows
from mailer.states import DeliveryState
from mailer.tests.factories import NOW, make_run
from mailer.tests.ledger import Engine, check_invariants, send_all
from mailer.tests.threads import together

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

LATER = NOW + timedelta(hours=1)
SENT, FAILED, PENDING = DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.PENDING


@pytest.fixture
def run(engine: Engine) -> Run:
    """A finished run: 1 sent, 1 failed, 2 uncertain."""
    run = make_run(recipients=4)
    answers = {1: Outcome.FAILED, 2: Outcome.UNCERTAIN, 3: Outcome.UNCERTAIN}
    engine.script = lambda message: answers.get(message.seq, Outcome.SENT)
    send_all(run)
    engine.script = lambda _message: Outcome.SENT
    run.refresh_from_db()
    assert run.state == "finished"
    assert states(run) == {"sent": 1, "failed": 1, "uncertain": 2}
    return run


def states(run: Run) -> dict[str, int]:
    run.refresh_from_db()
    return {name: n for name, n in run.by_state.items() if n}


@pytest.mark.parametrize("run_state", ["finished", "cancelled"])
@pytest.mark.parametrize(
    ("to", "after", "problem"),
    [
        (SENT, {"sent": 3, "failed": 1}, None),
        (FAILED, {"sent": 1, "failed": 3}, "connection lost after the final dot"),
    ],
)
def test_they_arrived_or_not_also_in_a_run_that_is_over(
    run: Run, run_state: str, to: DeliveryState, after: dict[str, int], problem: str | None
) -> None:
    Run.objects.filter(pk=run.pk).update(state=run_state)
    uncertain = list(Delivery.objects.filter(run=run, state="uncertain").values_list("pk"))
    assert control.resolve_uncertain(run.pk, to=to, by=None, now=LATER).done == 2
    assert states(run) == after
    assert run.state == run_state
    for (pk,) in uncertain:
        delivery = Delivery.objects.get(pk=pk)
        assert (delivery.state, delivery.problem) == (to, problem)
        assert delivery.settled_at == LATER
        assert (kept := delivery.earlier.get()).state == "uncertain"
        assert (kept.number, kept.at) == (delivery.attempts, NOW)
    entry = Audit.objects.get(run=run, action="resolve")
    assert (entry.count, entry.detail) == (2, f"Now: {to}.")


def test_once_more_goes_as_a_retry_does(run: Run, engine: Engine) -> None:
    engine.taken.clear()
    assert control.resolve_uncertain(run.pk, to=PENDING, by=None, now=LATER).done == 2
    assert states(run) == {"sent": 1, "failed": 1, "pending": 2}
    assert (run.state, run.finished_at) == ("sending", None)
    assert run.expires_at == LATER + run.mailing.expires_after
    send_all(run, now=LATER)
    assert states(run) == {"sent": 3, "failed": 1}
    assert run.state == "finished"
    assert len(engine.taken) == 2
    assert Attempt.objects.filter(delivery__run=run, state="uncertain").count() == 2
    assert Audit.objects.get(run=run, action="resolve").detail == "Now: waiting."


def test_what_did_not_arrive_can_then_be_retried(run: Run, engine: Engine) -> None:
    engine.taken[:] = [d.address for d in Delivery.objects.filter(run=run, state="sent")]
    control.resolve_uncertain(run.pk, to=FAILED, by=None, now=LATER)
    assert control.retry_failed(run.pk, by=None, now=LATER).done == 3
    assert Audit.objects.get(run=run, action="finish").at == NOW
    send_all(run, now=LATER)
    assert states(run) == {"sent": 4}
    check_invariants(run, taken=engine.taken)


def test_nothing_is_sent_again_in_a_cancelled_run(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(state="cancelled")
    with pytest.raises(NotPossible, match="cancelled"):
        control.resolve_uncertain(run.pk, to=PENDING, by=None, now=LATER)
    assert states(run)["uncertain"] == 2
    assert not Audit.objects.filter(run=run, action="resolve").exists()


def test_a_cancel_that_overtakes_takes_it_all_back(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sending_again.try_again

    def overtaken(*args: Any, **kwargs: Any) -> int:
        Run.objects.filter(pk=run.pk).update(state="cancelled")
        return real(*args, **kwargs)

    monkeypatch.setattr(sending_again, "try_again", overtaken)
    with pytest.raises(NotPossible):
        control.resolve_uncertain(run.pk, to=PENDING, by=None, now=LATER)
    assert states(run)["uncertain"] == 2
    assert not Audit.objects.filter(run=run, action="resolve").exists()


@pytest.mark.parametrize("to", [SENT, FAILED, PENDING])
def test_a_run_without_uncertain_deliveries_has_nothing_to_resolve(to: DeliveryState) -> None:
    run = make_run(recipients=1)
    with pytest.raises(NotPossible, match="no uncertain"):
        control.resolve_uncertain(run.pk, to=to, by=None, now=LATER)
    assert states(run) == {"pending": 1}


def test_no_other_state_is_an_answer(run: Run) -> None:
    with pytest.raises(ValueError, match="does not become cancelled"):
        control.resolve_uncertain(run.pk, to=DeliveryState.CANCELLED, by=None, now=LATER)
    assert states(run)["uncertain"] == 2


@pytest.mark.parametrize("to", [SENT, PENDING])
def test_two_people_answering_at_once_answer_once(run: Run, to: DeliveryState) -> None:
    def answer() -> int:
        try:
            return control.resolve_uncertain(run.pk, to=to, by=None, now=LATER).done
        except NotPossible:
            return 0

    assert sum(together(answer)) == 2
    assert "uncertain" not in states(run)


def test_what_a_lost_worker_leaves_is_labelled_without_it_and_can_be_resolved() -> None:
    run = make_run(recipients=3)
    claim = claiming.claim_batch(run.batches.get().pk, task_id="t", worker="w", now=NOW)
    assert claim is not None
    windows.next_window(claim, [], now=NOW)
    recovery.reap_lost_batches(now=LATER)
    found = Delivery.objects.filter(run=run, state="uncertain").values_list("problem", flat=True)
    assert set(found) == {"interrupted"}
    assert control.resolve_uncertain(run.pk, to=SENT, by=None, now=LATER).done == 3
    assert states(run) == {"sent": 3}
