"""Counts to a cap and stops: an exact count of a million rows costs more than the page."""

from functools import cached_property
from typing import Any

from django.contrib.admin import ShowFacets
from django.core.paginator import Paginator

from .change_list import CarefulListMixin
from .numbers import format_number


class RowCount(int):
    """A number of rows that reads "8,210", or "10,000+" where the counting stopped.

    The admin's stock templates print it as it stands. It expects USE_THOUSAND_SEPARATOR to be
    off (Django's default); the separators come from here.
    """

    capped: bool = False

    def __str__(self) -> str:
        return format_number(int(self)) + ("+" if self.capped else "")


class CappedPaginator(Paginator[Any]):
    """Pages up to `cap` rows; what lies beyond is reached by searching and filtering."""

    cap = 10_000

    @cached_property
    def count(self) -> int:
        # The order does not change the count, and sorting to count is what makes it slow.
        rows: Any = self.object_list
        found = rows.order_by()[: self.cap + 1].count()
        count = RowCount(min(found, self.cap))
        count.capped = found > self.cap
        return count


class BigTableMixin(CarefulListMixin):
    """For a ModelAdmin over many rows: a capped count, and nothing that counts all of them."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_max_show_all = 0
    list_per_page = 50
