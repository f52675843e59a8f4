"""Counts to a cap and stops: an exact count of a million rows costs more than the page."""

from functools import cached_property
from typing import Any

from django.contrib.admin import ShowFacets
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet

from .change_list import CarefulListMixin
from .numbers import RowCount

CAP = 10_000


def count_to_cap(rows: QuerySet[Any], *, cap: int = CAP) -> RowCount:
    """How many there are, counted to the cap."""
    # The order does not change the count, and sorting to count is what makes it slow.
    return RowCount.up_to(cap, rows.order_by()[: cap + 1].count())


class CappedPaginator(Paginator[Any]):
    """Pages up to `cap` rows; what lies beyond is reached by searching and filtering.

    A page is found by its keys alone: what else its rows show is not asked of those before it.
    """

    cap = CAP

    @cached_property
    def count(self) -> int:
        return count_to_cap(self._rows, cap=self.cap)

    def page(self, number: int | str) -> Page[Any]:
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        end = min(first + self.per_page, self.count)
        keys = list(self._rows.values_list("pk", flat=True)[first:end])
        return Page(self._rows.filter(pk__in=keys), number, self)

    @property
    def _rows(self) -> Any:
        return self.object_list


class BigTableMixin(CarefulListMixin):
    """For a ModelAdmin over many rows: a capped count, and nothing that counts all of them.

    What its list can be sorted by needs an index each: name them in `sortable_by`.
    """

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_max_show_all = 0
    list_per_page = 50
