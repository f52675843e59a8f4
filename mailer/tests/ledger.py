"""Driving the ledger in tests: a scripted engine in the place of SMTP, and the invariants."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from django.db.models import Sum

from mailer.engine.frame import read_message_id
from mailer.engine.sender import Outcome, Outgoing, RelayTrouble, Result
from mailer.models import Attempt, Batch, Delivery, Run
from mailer.services import sending
from mailer.states import RUN_FINAL

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
    """I1 to I4 and I7 to I9 on one run, against the addresses that the relay took mail for."""
    assert find_broken(run, taken=taken) == []


def find_broken(
    run: Run, *, taken: Sequence[str], message_ids: Sequence[str] | None = None
) -> list[str]:
    """Which of I1 to I4 and I7 to I9 do not hold, in words; `message_ids` in the order of `taken`.

    Reads the run anew.
    """
    run.refresh_from_db()
    rows = list(Delivery.objects.filter(run=run).values_list("address", "state", "uuid"))
    states = Counter(state for _address, state, _uuid in rows)
    times = Counter(taken)
    sent = {address for address, state, _uuid in rows if state == "sent"}
    uncertain = {address for address, state, _uuid in rows if state == "uncertain"}
    waiting = [address for address, state, _uuid in rows if state in {"pending", "deferred"}]
    counted = {name: n for name, n in run.by_state.items() if n}
    uuids = Counter(uuid for _address, _state, uuid in rows)
    finals = Attempt.objects.filter(delivery__run=run, state__in=FINAL).count()
    audited = run.audits.filter(action__in=["retry", "resolve"]).aggregate(n=Sum("count"))["n"]
    of_slot = Run.objects.filter(mailing=run.mailing_id, slot=run.slot).count()
    broken: dict[str, Iterable[object]] = {
        "I1 accepted more than once": [address for address, n in times.items() if n > 1],
        "I2 still waiting": waiting if run.state in RUN_FINAL else [],
        "I3 the counters": [] if counted == states else [counted, dict(states)],
        "I3 the total": [] if run.total == len(rows) else [run.total, len(rows)],
        "I4 sent, never accepted": sent - times.keys(),
        "I4 accepted, but neither sent nor uncertain": times.keys() - sent - uncertain,
        "I7 one uuid, several deliveries": [uuid for uuid, n in uuids.items() if n > 1],
        "I7 not the delivery's Message-ID": _foreign_ids(rows, taken, message_ids or ()),
        "I8 runs of the slot": [] if of_slot == 1 else [of_slot],
        "I9 final, then moved without an audit": [] if finals <= (audited or 0) else [finals],
    }
    return [_in_words(what, wrong) for what, wrong in broken.items() if wrong]


def _foreign_ids(
    rows: Iterable[tuple[str, str, UUID]], taken: Sequence[str], message_ids: Sequence[str]
) -> list[str]:
    expected = {address: uuid for address, _state, uuid in rows}
    return [
        message_id
        for address, message_id in zip(taken, message_ids, strict=False)
        if address in expected and read_message_id(message_id) != expected[address]
    ]


def _in_words(what: str, wrong: Iterable[object]) -> str:
    listed = list(map(str, wrong))
    few = ", ".join(listed[:3]) + (" …" if len(listed) > 3 else "")
    return f"{what} ({len(listed)}): {few}"
