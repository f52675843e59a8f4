"""Counting related rows of each row of a list, each no further than a cap."""

from typing import Any

from django.db.models import IntegerField, QuerySet, Subquery

from admin_ext.components.numbers import RowCount
from admin_ext.components.paginator import CAP


class CappedCount(Subquery):
    """How many rows a correlated queryset has, up to one above the cap."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS capped)"
    output_field = IntegerField()

    def __init__(self, queryset: QuerySet[Any]) -> None:
        super().__init__(queryset.order_by().values("pk")[: CAP + 1])


def row_count(found: int) -> RowCount:
    """A capped count as people read it: "8,210" or "10,000+"."""
    return RowCount.up_to(CAP, found)
