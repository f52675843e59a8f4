"""Downloading the deliveries that a list shows, all of them, filters and search included."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

from django.contrib.admin import ModelAdmin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from mailer.models import Audit, Delivery
from mailer.services.exporting import export_deliveries

from .delivery_state import asked_run

EXPORT = "mailer.export_delivery"


class ExportMixin(ModelAdmin[Any]):
    """Adds export/ beside the list, with the same filters in its address."""

    def may_export(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return bool(self.has_view_permission(request) and user.has_perm(EXPORT))

    def get_urls(self) -> list[URLPattern]:
        export = path(
            "export/",
            self.admin_site.admin_view(self.export_view),
            name="mailer_delivery_export",
        )
        return [export, *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """All that the list with the same address shows, as a file."""
        if not self.may_export(request):
            raise PermissionDenied
        try:
            shown = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(reverse("admin:mailer_delivery_changelist"))
        run = asked_run(request)
        narrowed = unquote_plus(request.GET.urlencode())
        return export_response(
            request, shown.queryset, run_id=run.pk if run else None, narrowed=narrowed
        )


def export_response(
    request: HttpRequest, deliveries: QuerySet[Delivery], *, run_id: int | None, narrowed: str
) -> StreamingHttpResponse:
    """A CSV file as it is read. One that breaks off ends the connection: a browser says so."""
    by: Any = request.user
    name = f"deliveries-run-{run_id}.csv" if run_id else "deliveries.csv"
    return StreamingHttpResponse(
        _audited(deliveries, by=by, run_id=run_id, narrowed=narrowed),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _audited(
    deliveries: QuerySet[Delivery], *, by: Any, run_id: int | None, narrowed: str
) -> Iterator[bytes]:
    """The file, and then who took how many; also of one that was broken off."""
    lines, whole = -1, False  # the header is no delivery
    try:
        yield b"\xef\xbb\xbf"  # or Excel takes it for Latin-1
        for line in export_deliveries(deliveries):
            yield line.encode()
            lines += 1
        whole = True
    finally:
        Audit.objects.create(
            run_id=run_id,
            action=Audit.Action.EXPORT,
            actor=by,
            at=timezone.now(),
            count=max(lines, 0),
            detail=(narrowed if whole else f"{_('Broken off.')} {narrowed}").strip()[:500],
        )
