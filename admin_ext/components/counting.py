"""Counting to a cap: an exact count of a million rows costs more than the page that shows it."""

from typing import Any

from django.db.models import QuerySet

from .numbers import format_number

CAP = 10_000


class RowCount(int):
    """A number of rows; where the counting stopped at it, `capped`, there are more.

    The admin's stock templates print it as it stands. It expects USE_THOUSAND_SEPARATOR to be
    off (Django's default); the separators come from here.
    """

    capped: bool = False

    @classmethod
    def up_to(cls, cap: int, found: int) -> "RowCount":
        """What was counted to one above the cap at most."""
        count = cls(min(found, cap))
        count.capped = found > cap
        return count

    def __str__(self) -> str:
        return format_number(self)


def count_to_cap(rows: QuerySet[Any], *, cap: int = CAP) -> RowCount:
    """How many there are, counted to the cap."""
    # The order does not change the count, and sorting to count is what makes it slow.
    return RowCount.up_to(cap, rows.order_by()[: cap + 1].count())
