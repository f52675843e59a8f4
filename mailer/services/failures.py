"""Why some of a run did not arrive: its failures by state and reply.

From one group to the next by the index on them, never over all of their rows: a relay that puts off
everybody makes a million.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from admin_ext.components.counting import RowCount
from mailer.engine.verdict import meaning_of
from mailer.models import Audit, Delivery, Run
from mailer.states import DeliveryState

#: States whose deliveries did not arrive, as far as anybody knows.
NOT_ARRIVED = (DeliveryState.FAILED, DeliveryState.DEFERRED, DeliveryState.UNCERTAIN)
#: More groups than this are words of ours that name each address.
MOST_GROUPS = 100

#: Its state, its problem, the seq of one delivery in it, how many, how many of those by staff.
Group = tuple[str, str, int, int, int]

_WITHOUT_REPLY = {
    DeliveryState.UNCERTAIN: gettext_lazy("The mail server may have taken it, or not."),
    DeliveryState.DEFERRED: gettext_lazy("It was not taken over this time; the problem says why."),
    DeliveryState.FAILED: gettext_lazy("The mail server never took it; the problem says why."),
}

_OF_RUN = "FROM mailer_delivery d WHERE d.run_id = %(run)s AND d.notable_state = f.state"
_GROUPS = f"""
WITH RECURSIVE found (state, problem) AS (
    SELECT f.state, (SELECT MIN(d.problem) {_OF_RUN})
    FROM ({" UNION ALL ".join(f"SELECT '{state.value}' AS state" for state in NOT_ARRIVED)}) f
    UNION ALL
    SELECT f.state, (SELECT MIN(d.problem) {_OF_RUN} AND d.problem > f.problem)
    FROM found f WHERE f.problem IS NOT NULL
)
SELECT f.state, f.problem, (SELECT MIN(d.seq) {_OF_RUN} AND d.problem = f.problem),
    (SELECT COUNT(*) FROM (SELECT 1 {_OF_RUN} AND d.problem = f.problem {{limit}}) AS part),
    {{by_staff}}
FROM found f WHERE f.problem IS NOT NULL LIMIT {MOST_GROUPS}
"""  # noqa: S608  # no value but a limit is formatted in
# What was uncertain had no reply that refuses, so of other groups nothing is looked up.
_BY_STAFF = f"""CASE WHEN f.state = 'failed' AND NOT (f.problem >= '4' AND f.problem < '6')
    THEN (SELECT COUNT(*) FROM (SELECT d.settled_at {_OF_RUN} AND d.problem = f.problem {{limit}})
        AS part WHERE settled_at IN ({{answers}})) ELSE 0 END"""  # noqa: S608  # as above


def failures_by_reply(run: Run, *, cap: int | None = None) -> list[dict[str, Any]]:
    """Deliveries that did not arrive, grouped by state and reply, the largest group first.

    `cap`: groups are counted to that; beyond it `count` is a capped RowCount, unless the run's own
    counters tell the rest.
    """
    # Once uncertain, and by staff's answer failed: the answer's moment is in the audit.
    answers = list(run.audits.filter(action=Audit.Action.RESOLVE).values_list("at", flat=True))
    found = _read(run, cap=cap, answers=answers)
    examples = _examples(run, [seq for _state, _problem, seq, _count, _by_staff in found])
    groups: list[dict[str, Any]] = []
    for state, problem, seq, count, by_staff in _with_rest(found, run, cap=cap):
        code, reply = examples.get(seq, (None, ""))
        for number, of_staff in ((count, False), (by_staff, True)):
            if number:
                meaning = _meaning(state, problem, code, reply, by_staff=of_staff)
                groups.append(
                    {"state": state, "problem": problem, "code": code, "reply": reply}
                    | {"count": number, "by_staff": of_staff, "meaning": meaning}
                )
    return sorted(groups, key=lambda group: (-int(group["count"]), group["problem"]))


def _read(run: Run, *, cap: int | None, answers: Sequence[datetime]) -> list[Group]:
    limit = "" if cap is None else f"LIMIT {cap + 1}"
    names = {f"answer{n}": at for n, at in enumerate(answers)}
    adapt = connection.ops.adapt_datetimefield_value
    placeholders = ", ".join(f"%({name})s" for name in names)
    by_staff = _BY_STAFF.format(limit=limit, answers=placeholders) if answers else "0"
    values = {"run": run.pk, **{name: adapt(at) for name, at in names.items()}}
    with connection.cursor() as cursor:
        cursor.execute(_GROUPS.format(limit=limit, by_staff=by_staff), values)
        rows: list[Group] = cursor.fetchall()
        return rows


def _with_rest(found: list[Group], run: Run, *, cap: int | None) -> list[Group]:
    """Counts as they are read, without what is staff's; of the only capped group in a state, what
    its counter says is in no other."""
    rows = []
    for state, problem, seq, number, by_staff in found:
        count = number - by_staff
        if cap is not None and number > cap:
            others = [other for other in found if other[0] == state and other[1] != problem]
            rest = getattr(run, state) - sum(other[3] for other in others) - by_staff
            whole = len(found) < MOST_GROUPS and all(other[3] <= cap for other in others)
            count = max(rest, cap) if whole else RowCount.up_to(cap, number)
        rows.append((state, problem, seq, count, by_staff))
    return rows


def _examples(run: Run, seqs: list[int]) -> dict[int, tuple[int | None, str]]:
    """The code and the text of one reply in each group."""
    rows = Delivery.objects.filter(run=run, seq__in=seqs).values_list("seq", "code", "reply")
    return {seq: (code, reply) for seq, code, reply in rows}


def _meaning(state: str, problem: str, code: int | None, reply: str, *, by_staff: bool) -> str:
    if by_staff:
        return _("The mail server may have taken it, or not. It was counted as failed by staff.")
    if code is None:
        return str(_WITHOUT_REPLY[DeliveryState(state)])
    words = problem.split()
    enhanced = words[1] if len(words) > 1 else ""
    return meaning_of(code, enhanced, reply, state=state)
