"""Narrowing the list of deliveries: by state, by run, without reading millions of rows."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from mailer.models import Run
from mailer.states import DeliveryState

#: Only a delivery with a problem has these; `problem` is indexed, `state` on purpose is not.
WITH_A_PROBLEM = frozenset(DeliveryState) - {
    DeliveryState.PENDING,
    DeliveryState.SENT,
    DeliveryState.CANCELLED,
}


class StateFilter(admin.ChoicesFieldListFilter):
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        found = super().queryset(request, queryset)
        if found is None:
            return queryset
        if self.lookup_val and set(self.lookup_val) <= WITH_A_PROBLEM:
            found = found.filter(problem__isnull=False)
        return found


def asked_run(request: HttpRequest) -> Run | None:
    """The run that the list is narrowed to, if there is one."""
    key = request.GET.get("run__id__exact", "")
    if not key.isdecimal() or len(key) > 18:
        return None
    return Run.objects.select_related("mailing").filter(pk=key).first()
