"""Driving the ledger in tests: a scripted engine in the place of SMTP, and the invariants."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pytest
from django.db.models import Count

from mailer.engine.sender import Outcome, Outgoing, RelayTrouble, Result
from mailer.models import Attempt, Batch, Delivery, Run
from mailer.services import sending

from .factories import NOW

FINAL = ("sent", "failed", "uncertain", "skipped", "cancelled")

#: What the script says of one message: a Result's fields, trouble to stop with, both, or an error.
Answer = Outcome | dict[str, Any] | RelayTrouble | tuple[Outcome, RelayTrouble] | BaseException


class ScriptedSender:
    """Stands for engine.Sender; `script` answers each message, `taken` lists the accepted."""

    def __init__(self, script: Callable[[Outgoing], Answer], taken: list[str]) -> None:
        self.script, self.taken = script, taken
        self.trouble: RelayTrouble | None = None

    def __enter__(self) -> "ScriptedSender":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(
        self,
        messages: Sequence[Outgoing],
        results: list[Result],
        *,
        may_continue: Callable[[], bool],
        may_offer: Callable[[], bool],
    ) -> None:
        for message in messages:
            if not may_continue():  # it asks may_offer, too
                return
            answer = self.script(message)
            if isinstance(answer, BaseException):
                results.append(
                    result(message.seq, outcome=Outcome.UNCERTAIN, problem="interrupted")
                )
                raise answer
            if isinstance(answer, RelayTrouble):
                self.trouble = answer
                return
            if isinstance(answer, tuple):
                outcome, self.trouble = answer
                results.append(result(message.seq, outcome=outcome))
                return
            fields = {"outcome": answer} if isinstance(answer, Outcome) else answer
            if fields["outcome"] in {Outcome.SENT, Outcome.UNCERTAIN}:
                self.taken.append(message.address)
            results.append(result(message.seq, **fields))


def result(seq: int, *, outcome: Outcome = Outcome.SENT, **fields: Any) -> Result:
    code, problem = {
        Outcome.SENT: (250, ""),
        Outcome.DEFERRED: (451, "451"),
        Outcome.FAILED: (550, "550"),
        Outcome.UNCERTAIN: (None, "connection lost after the final dot"),
    }[outcome]
    defaults: dict[str, Any] = {
        "code": code,
        "enhanced_status": "",
        "reply": "said so",
        "problem": problem,
        "suppress": "never",
        "at": NOW,
    }
    return Result(seq=seq, outcome=outcome, **{**defaults, **fields})


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> "Engine":
    engine = Engine()
    monkeypatch.setattr(sending, "open_sender", lambda _run, _relay, **_: engine.sender())
    return engine


class Engine:
    """The scripted engine of a test: set `script`, read `taken`."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.script: Callable[[Outgoing], Answer] = lambda _message: Outcome.SENT

    def _answer(self, message: Outgoing) -> Answer:
        return self.script(message)  # a test may set another in the middle

    def sender(self) -> ScriptedSender:
        return ScriptedSender(self._answer, self.taken)


def send_all(run: Run, *, now: datetime = NOW) -> None:
    """Send every ready batch of a run, as workers would that are told of them at once."""
    for _ in range(100):
        batch = Batch.objects.filter(run=run, state="ready").first()
        if batch is None or not send_one(batch, now=now):
            return


def send_one(
    batch: Batch, *, now: datetime = NOW, stopping: Callable[[], bool] = lambda: False
) -> dict[str, int]:
    return sending.send_batch(
        batch.pk, task_id="task", worker="worker@test", clock=lambda: now, stopping=stopping
    )


def check_invariants(run: Run, *, taken: Sequence[str] = ()) -> None:
    """I1 to I4 and I7 to I9 on one run, against what the relay took."""
    run.refresh_from_db()
    rows = Delivery.objects.filter(run=run)
    states = dict(rows.order_by().values_list("state").annotate(n=Count("pk")))
    assert {name: n for name, n in run.by_state.items() if n} == states  # I3
    assert run.total == sum(states.values())
    if run.state == "finished":
        assert not {"pending", "deferred"} & states.keys()  # I2
    accepted = Counter(taken)
    assert [address for address, n in accepted.items() if n > 1] == []  # I1
    sent = set(rows.filter(state="sent").values_list("address", flat=True))
    uncertain = set(rows.filter(state="uncertain").values_list("address", flat=True))
    assert sent <= accepted.keys()  # I4
    assert accepted.keys() - sent <= uncertain
    assert rows.values("uuid").distinct().count() == run.total  # I7
    assert Run.objects.filter(mailing=run.mailing_id, slot=run.slot).count() == 1  # I8
    taken_up = Attempt.objects.filter(delivery__run=run, state__in=FINAL)
    if taken_up.exists():
        assert run.audits.filter(action__in=["retry", "resolve"]).exists()  # I9
