"""A filter for lists by one of many: looked for by typing, where links to all would fill a page."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.http import HttpRequest


class PickFilter(admin.RelatedFieldListFilter):
    """`list_filter = (("mailing", PickFilter),)`, with PickFilterMixin.

    The other model's admin needs `search_fields`; whoever may not see it is offered nothing.
    """

    template = "admin_ext/pick_filter.html"

    def __init__(self, field: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(field, request, *args, **kwargs)
        self.field: Any = field
        self.site = args[2].admin_site  # the ModelAdmin
        other = self.site.get_model_admin(field.related_model)
        self.may_pick = other.has_view_permission(request)

    def field_choices(self, *_args: Any) -> list[Any]:
        return []

    def has_output(self) -> bool:
        return True  # without it Django would drop what an address asks for, and show everything

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        if not self.may_pick:
            return
        mine = [self.lookup_kwarg, self.lookup_kwarg_isnull]
        yield {
            "select": self._select(),
            "id": self._id,
            "others": [pair for pair in changelist.params.items() if pair[0] not in {*mine, "p"}],
        }

    @property
    def _id(self) -> str:
        return f"pick-{self.field_path}"

    def _select(self) -> Any:
        widget, other = AutocompleteSelect(self.field, self.site), self.field.related_model
        choice: Any = forms.ModelChoiceField(other.objects.all(), widget=widget, required=False)
        chosen = [key for key in self.lookup_val or [] if key.isdecimal() and len(key) < 19]
        return choice.widget.render(self.lookup_kwarg, chosen[-1:], {"id": self._id})


class PickFilterMixin(admin.ModelAdmin[Any]):
    """The scripts and styles that the filter needs."""

    @property
    def media(self) -> forms.Media:
        some_field: Any = None  # its scripts are the same for each
        select = AutocompleteSelect(some_field, self.admin_site)
        return super().media + select.media + forms.Media(js=["admin_ext/pick_filter.js"])
