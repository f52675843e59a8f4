"""Forms in plain words: a package's fields by our names, selects that stay short, fewer icons."""

from collections.abc import Mapping
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.db.models import Field
from django.forms import CheckboxSelectMultiple, SelectMultiple
from django.http import HttpRequest
from django_stubs_ext import StrOrPromise

#: With more to choose from, one looks for it by typing.
MOST_IN_A_SELECT = 20


class ShortSelectsMixin(BaseModelAdmin[Any]):
    """For a ModelAdmin or an inline: its `autocomplete_fields` are plain selects, or boxes to tick
    where several are chosen, while there is little to choose from."""

    def get_autocomplete_fields(self, request: HttpRequest) -> list[str]:
        return [name for name in super().get_autocomplete_fields(request) if self._is_long(name)]

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        widget = getattr(field, "widget", None)
        if not isinstance(widget, RelatedFieldWidgetWrapper):
            return field
        # What is chosen can be looked at; it is changed on its own page.
        widget.can_change_related = widget.can_delete_related = False
        if db_field.name in self.autocomplete_fields and type(widget.widget) is SelectMultiple:
            widget.widget = CheckboxSelectMultiple(choices=field.choices)
            # Without how to hold down a key.
            field.help_text = kwargs.get("help_text", db_field.help_text)
        return field

    def _is_long(self, name: str) -> bool:
        relation: Any = self.opts.get_field(name)
        few = relation.related_model.objects.order_by()[: MOST_IN_A_SELECT + 1]
        return bool(few.count() > MOST_IN_A_SELECT)


class OwnWordsMixin(ModelAdmin[Any]):
    """For the model of a package: `labels` and `help_texts` instead of the model's own."""

    labels: Mapping[str, StrOrPromise] = {}
    help_texts: Mapping[str, StrOrPromise] = {}

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        words = {"labels": self.labels, "help_texts": self.help_texts}
        return super().get_form(request, obj, change=change, **{**words, **kwargs})
