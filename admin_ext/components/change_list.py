"""A list whose address anybody may write: an id that no row can have finds nothing."""

from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django_stubs_ext import StrOrPromise


class CarefulChangeList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        try:
            super().get_results(request)
        except OverflowError:  # SQLite's way to say that ?run=99999999999999999999 is no id
            self.queryset = self.queryset.none()
            super().get_results(request)


class CarefulListMixin(ModelAdmin[Any]):
    """For a ModelAdmin with relations, which the address of its list may filter by."""

    #: What an empty list says: what belongs here, and where it comes from.
    when_empty: StrOrPromise = ""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CarefulChangeList
