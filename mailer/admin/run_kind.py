"""Which runs a list shows: of mailings or single messages; those that somebody has to look at."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from mailer.models import Run
from mailer.states import RUN_SENDS_AGAIN


class KindFilter(admin.SimpleListFilter):
    """A site that sends receipts has thousands of runs of one message; mailings would drown."""

    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, StrOrPromise]]:
        return [("single", _("Single messages")), ("all", _("All"))]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        mailings, *others = super().choices(changelist)
        yield {**mailings, "display": _("Mailings")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if self.value() == "all":
            return queryset
        if self.value() == "single":
            return queryset.filter(trigger=Run.Trigger.SINGLE)
        return queryset.exclude(trigger=Run.Trigger.SINGLE)


class NeedsFilter(admin.SimpleListFilter):
    """Runs with deliveries that staff decide on, of any state that still lets them."""

    title = _("needs somebody")
    parameter_name = "needs"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, StrOrPromise]]:
        return [("failed", _("Some failed")), ("uncertain", _("Some are uncertain"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if self.value() in {"failed", "uncertain"}:
            return queryset.filter(**{f"{self.value()}__gt": 0}, state__in=RUN_SENDS_AGAIN)
        return queryset
