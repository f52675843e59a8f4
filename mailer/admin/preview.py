"""A version of a message as somebody gets it: its text here, its HTML in a frame of its own."""

from typing import Any

from csp.constants import NONE, SELF
from csp.decorators import csp
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import conditional_escape
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.clickjacking import xframe_options_sameorigin

from mailer.engine.render import TemplateProblem
from mailer.models import MessageVersion, Recipient
from mailer.services.previewing import preview_message, somebody_for
from mailer.services.searching import address_key_of

#: Whatever a message holds: no script, no form, nothing loaded, nowhere to go.
FRAME_POLICY = {
    "default-src": [NONE],
    "style-src": ["'unsafe-inline'"],
    "img-src": ["data:"],
    "form-action": [NONE],
    "base-uri": [NONE],
    "frame-ancestors": [SELF],
    "sandbox": True,
}


def _in_frame(request: HttpRequest, html: str) -> HttpResponseBase:
    @csp(FRAME_POLICY)
    @xframe_options_sameorigin
    def show(_request: HttpRequest) -> HttpResponse:
        return HttpResponse(html, headers={"Referrer-Policy": "no-referrer"})

    return show(request)


class PreviewMixin(ModelAdmin[Any]):
    """Adds preview/ and preview/frame/ to versions of messages."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path(
                "<int:pk>/preview/",
                view(self.preview_view),
                name="mailer_messageversion_preview",
            ),
            path(
                "<int:pk>/preview/frame/",
                view(self.frame_view),
                name="mailer_messageversion_frame",
            ),
        ]
        return [*own, *super().get_urls()]

    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        version, recipient, asked = self._read(request, pk)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Preview"),
            "opts": self.opts,
            "version": version,
            "recipient": recipient,
            "may_choose": self._may_see_people(request),
            "asked": asked,
            "unknown": bool(asked) and recipient is None,
            "phone": request.GET.get("width") == "phone",
        }
        try:
            context["preview"] = preview_message(version, recipient)
        except TemplateProblem as problem:
            context["problem"] = str(problem)
        query = urlencode({"to": recipient.address} if recipient else {"to": "-"})
        frame = reverse("admin:mailer_messageversion_frame", args=[pk])
        context["frame_url"] = f"{frame}?{query}"
        return TemplateResponse(request, "admin/mailer/messageversion/preview.html", context)

    def frame_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """The HTML alone, under a policy of its own, also for whoever opens it by itself."""
        version, recipient, _asked = self._read(request, pk)
        try:
            html = preview_message(version, recipient).html
        except TemplateProblem as problem:
            html = conditional_escape(str(problem))
        return _in_frame(request, html)

    def _read(self, request: HttpRequest, pk: int) -> tuple[MessageVersion, Recipient | None, str]:
        """The version, for whom, and the address that was asked for. "-" stands for nobody."""
        version = MessageVersion.objects.select_related("message").filter(pk=pk).first()
        if not self.has_view_permission(request, version):
            raise PermissionDenied
        if version is None:
            raise Http404(_("This version does not exist."))
        asked = request.GET.get("to", "").strip()
        if not self._may_see_people(request) or asked == "-":
            return version, None, ""
        if asked:
            found = Recipient.objects.filter(address_key=address_key_of(asked)).first()
            return version, found, asked
        return version, somebody_for(version), ""

    @staticmethod
    def _may_see_people(request: HttpRequest) -> bool:
        user: Any = request.user
        return bool(user.has_perm("mailer.view_recipient"))
