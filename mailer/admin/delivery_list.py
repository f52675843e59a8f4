"""Which deliveries a page of their list shows, among millions of which most were just sent.

What a list is narrowed to by run and state, the runs' counters know: how many there are, and in
which runs. So nothing is counted, and nothing is looked for where there is none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db import connection
from django.db.models import Count, F, Max, Min, QuerySet, Sum, Value
from django.http import HttpRequest, QueryDict

from admin_ext.components.counting import CAP, RowCount, count_to_cap
from admin_ext.components.paginator import CappedPaginator
from mailer.models import Batch, Delivery, Run
from mailer.states import ORDINARY, BatchState, DeliveryState

from .people_search import NEWEST_FOUND

#: What is no filter in a list's address: its page, its order, and how it was opened.
_NOT_ASKED = {"p", "o", "e", "_popup", "_to_field"}
#: What is in no index is looked for in so many deliveries of a run.
STRETCH = 50_000

_PIECE = """SELECT id FROM (SELECT id FROM mailer_delivery WHERE {where} ORDER BY {order}
    LIMIT %s OFFSET %s) AS piece{number}"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a list's address narrows it to; `alone`: to nothing else."""

    run: int | None
    state: DeliveryState | None
    alone: bool

    @classmethod
    def by(cls, query: QueryDict) -> "Asked":
        run, state = query.get("run__id__exact", ""), query.get("state__exact", "")
        others = {name for name in query if query[name]} - _NOT_ASKED
        return cls(
            run=int(run) if run.isdecimal() and len(run) < 19 else None,
            state=DeliveryState(state) if state in DeliveryState else None,
            alone=not others - {"run__id__exact", "state__exact"},
        )

    def order(self, *, by_reply: bool = False) -> tuple[str, ...]:
        """As an index has them: the newest run first, within it by reply or as they are sent."""
        if self.state in ORDINARY:
            return ("-run_id", "seq")
        if self.state:
            return ("-run_id", "problem", "seq")
        if by_reply:
            return ("-run_id", "notable_state", "problem", "seq")
        return ("run_id", "seq") if self.run else ("-id",)


class DeliveryCount(RowCount):
    """How many deliveries, and of how many `runs`."""

    runs: int = 0


def counting(*states: DeliveryState) -> Callable[[HttpRequest, QuerySet[Delivery]], DeliveryCount]:
    """For an action on deliveries in these states: counts those that are selected."""

    def count(request: HttpRequest, deliveries: QuerySet[Delivery]) -> DeliveryCount:
        asked = Asked.by(request.GET)
        if asked.alone and request.POST.get("select_across") == "1":
            return _count_by_runs(asked, [s for s in states if asked.state in {None, s}])
        found = count_to_cap(deliveries)
        number = DeliveryCount(found)
        number.capped = found.capped
        of_runs = deliveries.order_by().values("run").distinct()
        number.runs = 1 if asked.run is not None else count_to_cap(of_runs)
        return number

    return count


def _count_by_runs(asked: Asked, states: list[DeliveryState]) -> DeliveryCount:
    """By the runs' counters, so all of them."""
    if not states:
        return DeliveryCount(0)
    runs = Run.objects.annotate(n=sum((F(state) for state in states), Value(0))).filter(n__gt=0)
    if asked.run is not None:
        runs = runs.filter(pk=asked.run)
    found = runs.aggregate(deliveries=Sum("n"), runs=Count("pk"))
    number = DeliveryCount(found["deliveries"] or 0)
    number.runs = found["runs"]
    return number


class DeliveryPaginator(CappedPaginator):
    """`part`: the deliveries it is given are only some of those that the list is of."""

    def __init__(self, *args: Any, asked: Asked, part: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._asked = asked
        self._part = part

    @cached_property
    def count(self) -> int:
        if self._by_runs:
            return RowCount.up_to(self.cap, sum(number for _run, number in self._runs))
        count = count_to_cap(self._rows, cap=self.cap)
        count.capped = count.capped or self._part
        return count

    def find_keys(self, first: int, end: int) -> list[Any]:
        if not self._by_runs:
            return super().find_keys(first, end)
        pieces, before = [], 0
        for run, number in self._runs:
            start, stop = max(first - before, 0), min(end - before, number)
            if start < stop:
                pieces.append((run, start, stop - start))
            before += number
        return self._read(pieces)

    @property
    def _by_runs(self) -> bool:
        return self._asked.state is not None and self._asked.alone

    @cached_property
    def _runs(self) -> list[tuple[int, int]]:
        """Runs that have any, the newest first, each with how many."""
        runs = Run.objects.filter(**{f"{self._asked.state}__gt": 0})
        if self._asked.run is not None:
            runs = runs.filter(pk=self._asked.run)
        newest = runs.order_by("-pk").values_list("pk", str(self._asked.state))
        return list(newest[: self.cap + 1])

    def _read(self, pieces: list[tuple[int, int, int]]) -> list[Any]:
        """Keys of some deliveries of each run: (run, how many to pass over, how many)."""
        ranges = {}
        if self._asked.state == DeliveryState.PENDING:
            ranges = ranges_of_open_batches([run for run, _offset, _limit in pieces])
        statements: list[str] = []
        values: list[int | str] = []
        for number, (run, offset, limit) in enumerate(pieces):
            where, order = "run_id = %s AND notable_state = %s", "problem, seq"
            if self._asked.state in ORDINARY:
                where, order = "run_id = %s AND state = %s", "seq"
            values += [run, str(self._asked.state)]
            if run in ranges:
                where += " AND seq BETWEEN %s AND %s"
                values += ranges[run]
            statements.append(_PIECE.format(where=where, order=order, number=number))
            values += [limit, offset]
        if not statements:
            return []
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(statements), values)
            return [key for (key,) in cursor.fetchall()]


def find_deliveries(people: list[int], address_key: bytes, asked: Asked) -> list[int]:
    """The keys of what was sent to these people, and to this address while it was nobody's; the
    newest first, to the cap. Each by its own index, whatever else narrows the list."""
    found = Delivery.objects.filter(recipient__in=people)
    nobodys = Delivery.objects.filter(recipient__isnull=True, address_key=address_key)
    if asked.run is not None:
        found, nobodys = found.filter(run=asked.run), nobodys.filter(run=asked.run)
    parts = [found, nobodys] if address_key else [found]
    keys = [key for part in parts for key in part.order_by(NEWEST_FOUND).values_list("pk")[:CAP]]
    return [key for (key,) in keys]


def without_run(rows: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """The same without the condition on the run, where keys that follow are of that run anyway:
    SQLite would go through all of the run for them."""
    found = rows.all()
    where = found.query.where
    run: Any = Delivery.run.field
    where.children = [
        child
        for child in where.children
        if getattr(getattr(child, "lhs", None), "target", None) is not run
    ]
    return found


def stretch_of(asked: Asked, run: Run) -> tuple[int, int] | None:
    """The part of a run, from which seq to which, in which is looked for what no index knows; None
    where few enough come into question."""
    first, last = 1, run.next_seq - 1
    if asked.state == DeliveryState.PENDING:
        first, last = ranges_of_open_batches([run.pk]).get(run.pk, (first, last))
    few = asked.state is not None and asked.state not in ORDINARY
    number = getattr(run, str(asked.state)) if few else last - first + 1
    return (first, first + STRETCH - 1) if number > STRETCH else None


def ranges_of_open_batches(runs: list[int]) -> dict[int, tuple[int, int]]:
    """From which seq to which each run has batches that are not through: what waits is in those."""
    open_ones = Batch.objects.filter(run__in=runs).exclude(state=BatchState.DONE)
    found = open_ones.order_by().values_list("run").annotate(Min("first_seq"), Max("last_seq"))
    return {run: (first, last) for run, first, last in found}
