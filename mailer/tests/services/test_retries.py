"""When what was put off is tried again, and how often before it is given up."""

from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from mailer.engine.sender import Outcome
from mailer.models import Delivery
from mailer.services import recovery, results
from mailer.services.reporting import next_try
from mailer.tests.factories import NOW, make_run
from mailer.tests.ledger import Engine, check_invariants, send_all

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize(
    ("reply", "minutes"),
    [
        ({}, 5),
        ({"code": 421, "enhanced_status": "4.7.0"}, 15),
        ({"code": 452, "enhanced_status": "4.2.2"}, 60),
        ({"code": None}, 5),
        ({"code": 452, "enhanced_status": "4.2.2", "reply": "4.2.2 greylisted"}, 5),
    ],
)
def test_the_first_wait_goes_by_the_reply(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, reply: dict[str, Any], minutes: int
) -> None:
    monkeypatch.setattr(results, "uniform", lambda _low, _high: 1.0)
    run = make_run(recipients=2)
    engine.script = lambda _message: {"outcome": Outcome.DEFERRED, **reply}
    send_all(run)
    assert next_try(run) == NOW + timedelta(minutes=minutes)


def test_waits_double_up_to_four_hours_and_are_spread() -> None:
    def waits(patience: int) -> list[float]:
        return [results.retry_delay(n, patience=patience).total_seconds() / 60 for n in range(1, 9)]

    for patience, expected in (
        (1, [5, 10, 20, 40, 80, 160, 240, 240]),
        (12, [60, 120, 240, 240, 240, 240, 240, 240]),
    ):
        for got, want in zip(waits(patience), expected, strict=True):
            assert 0.8 * want <= got <= min(1.2 * want, 240)
    for attempts in (1, 20):
        assert len({results.retry_delay(attempts) for _ in range(20)}) > 10


def test_a_storm_without_end_keeps_attempts_few(engine: Engine, settings: Settings) -> None:
    settings.MAILER_RETRY_SECONDS = 300
    run, now = make_run(recipients=1), NOW
    engine.script = lambda _message: Outcome.DEFERRED
    send_all(run)
    while (due := next_try(run)) is not None:
        now = due
        recovery.tick(now=now)
        send_all(run, now=now)
    row = Delivery.objects.get(run=run)
    assert (row.state, row.problem) == ("failed", "451")
    assert now <= NOW + timedelta(hours=96 + 4.8)
    # 6 in the first five hours, then one every four: 29, a few more or less by chance.
    assert 26 <= row.attempts <= 33
    check_invariants(run)
