"""A list whose address anybody may write: an id that no row can have finds nothing."""

from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django_stubs_ext import StrOrPromise


class CarefulChangeList(ChangeList):
    #: What a search leaves in `request.search_note`: the search form's template has no request.
    search_note = ""

    def get_results(self, request: HttpRequest) -> None:
        try:
            super().get_results(request)
        except OverflowError:  # SQLite's way to say that ?run=99999999999999999999 is no id
            self.queryset = self.queryset.none()
            super().get_results(request)
        self.search_note = getattr(request, "search_note", "")


class CarefulListMixin(ModelAdmin[Any]):
    """For a ModelAdmin with relations, which the address of its list may filter by.

    A sentence that get_search_results leaves in `request.search_note` is shown beside the search.
    """

    #: What an empty list says: what belongs here, and where it comes from.
    when_empty: StrOrPromise = ""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CarefulChangeList
