"""Narrowing the list of deliveries: by state, run and reply, each by an index."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from mailer.models import Delivery, Run
from mailer.states import ORDINARY


class StateFilter(admin.ChoicesFieldListFilter):
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if "problem" in request.GET:  # which nothing else has
            queryset = queryset.filter(notable_state__isnull=False)
        if self.lookup_val and not set(self.lookup_val) & {*ORDINARY}:
            return queryset.filter(notable_state__in=self.lookup_val)
        found = super().queryset(request, queryset)
        return queryset if found is None else found


# A problem begins with the reply's code, if there was a reply, else with a word.
_REPLIES = {
    "4": Q(problem__gte="4", problem__lt="5"),
    "5": Q(problem__gte="5", problem__lt="6"),
    "none": Q(problem__gte="6"),
}


def asked_run(request: HttpRequest) -> Run | None:
    """The run that the list is narrowed to, if there is one."""
    key = request.GET.get("run__id__exact", "")
    if not key.isdecimal() or len(key) > 18:
        return None
    return Run.objects.select_related("mailing").filter(pk=key).first()


class ReplyFilter(admin.SimpleListFilter):
    """What kind of reply a run's deliveries had; of one run, whose index is by that."""

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
        reply = _REPLIES.get(self.value() or "")
        if reply is None:
            return queryset
        if request.GET.get("state__exact") in ORDINARY:
            return queryset.none()
        return queryset.filter(reply, notable_state__isnull=False)
