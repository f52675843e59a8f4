"""Counts to a cap and stops: an exact count of a million rows costs more than the page."""

from functools import cached_property
from typing import Any, cast

from django.contrib.admin import ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.db.models.sql.where import WhereNode
from django.http import HttpRequest

from .change_list import CarefulChangeList, CarefulListMixin
from .counting import CAP, count_to_cap


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
        keys = self.find_keys(first, min(first + self.per_page, self.count))
        rows = self._rows.all()
        # Of what narrowed them the keys are what is left: SQLite would rather go through all of a
        # list again, in its order, than look up fifty keys.
        rows.query.where = WhereNode()
        return Page(rows.filter(pk__in=keys), number, self)

    def find_keys(self, first: int, end: int) -> list[Any]:
        """The keys of the rows from the first up to, not including, the end."""
        return list(self._rows.values_list("pk", flat=True)[first:end])

    @property
    def _rows(self) -> QuerySet[Any]:
        return cast("QuerySet[Any]", self.object_list)


class BigTableList(CarefulChangeList):
    """Asks the paginator for its rows also where they are few and fill one page."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.multi_page:
            self.result_list = self.paginator.page(1).object_list


class BigTableMixin(CarefulListMixin):
    """For a ModelAdmin over many rows: a capped count, and nothing that counts all of them.

    What its list can be sorted by needs an index each: name them in `sortable_by`. A sentence that
    get_search_results leaves in `request.search_note` is shown beside the search.
    """

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_max_show_all = 0
    list_per_page = 50

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BigTableList
