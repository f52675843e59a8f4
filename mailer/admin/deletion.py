"""Deleting: one at a time, refused in plain words while something needs the object."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import model_ngettext, quote, unquote
from django.db.models import ProtectedError, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django_stubs_ext import StrOrPromise

from admin_ext.components.numbers import format_number


class DeletionMixin(admin.ModelAdmin[Any]):
    #: What follows from deleting one, as a sentence for the page that asks.
    when_deleted: StrOrPromise = ""

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        words = {"when_deleted": self.when_deleted, **(extra_context or {})}
        return super().delete_view(request, object_id, words)


class GuardedDeletionMixin(DeletionMixin):
    """The confirmation counts what goes along: naming a million subscriptions helps nobody."""

    #: Related names of the rows that are deleted with the object.
    goes_along: Sequence[str] = ()

    def why_not_delete(self, obj: Any) -> str:
        """A sentence for staff when the object cannot go, else nothing."""
        return ""

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        obj = self.get_object(request, unquote(object_id))
        if obj is not None and self.has_delete_permission(request, obj):
            if refusal := self.why_not_delete(obj):
                return self._refuse(request, obj, refusal)
            try:
                return super().delete_view(request, object_id, extra_context)
            except ProtectedError:  # somebody began to use it while this page was open
                refusal = _("“%(object)s” is in use by now. Nothing was deleted.")
                return self._refuse(request, obj, refusal % {"object": obj})
        return super().delete_view(request, object_id, extra_context)

    def get_deleted_objects(
        self, objs: Sequence[Any] | QuerySet[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        counts: dict[str, Any] = {}
        for name in self.goes_along:
            rows = [getattr(obj, name).all() for obj in objs]
            count = sum(found.count() for found in rows)
            counts[model_ngettext(rows[0], count)] = format_number(count)
        return [str(obj) for obj in objs], counts, set(), []

    def _refuse(self, request: HttpRequest, obj: Any, refusal: str) -> HttpResponse:
        self.message_user(request, refusal, messages.ERROR)
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return HttpResponseRedirect(reverse(name, args=[quote(obj.pk)]))
