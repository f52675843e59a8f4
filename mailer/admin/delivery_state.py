"""Narrowing the list of deliveries: by state, run and reply, without reading millions of rows."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from mailer.models import Delivery, Run
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


class ReplyFilter(admin.SimpleListFilter):
    """What kind of reply a run's deliveries had; by the index on (run, problem), so of one run."""

    title = _("reply")
    parameter_name = "reply"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, StrOrPromise]]:
        if asked_run(request) is None:
            return []
        return [
            ("4", _("Later (4xx)")),
            ("5", _("Refused (5xx)")),
            ("none", _("No reply")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        with_problem = queryset.filter(problem__isnull=False)
        if (kind := self.value()) in {"4", "5"}:
            hundred = int(kind) * 100
            return with_problem.filter(code__gte=hundred, code__lt=hundred + 100)
        if kind == "none":
            return with_problem.filter(code__isnull=True)
        return queryset
