"""Messages: what is sent, written on one form; every change is kept as a version."""

from collections.abc import Iterator
from datetime import datetime
from io import BytesIO
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from admin_ext.components.change_list import CarefulListMixin
from admin_ext.components.history import SHOWN, Happening, HistoryMixin, name_of
from admin_ext.components.object_actions import ObjectActionsMixin
from admin_ext.components.times import time_column
from mailer.exceptions import MailerError
from mailer.models import Message, MessageFile, MessageVersion, Run
from mailer.services.writing import save_version

from .deletion import GuardedDeletionMixin
from .message_file import FileFormSet, MessageFileInline
from .message_form import MessageForm
from .message_version import MessageVersionInline
from .permissions import may_see_results
from .placeholder_words import warnings_of_unknown
from .send_test import SEND_TEST_ACTION, describe_tests


@admin.register(Message)
class MessageAdmin(
    ObjectActionsMixin,
    HistoryMixin,
    GuardedDeletionMixin,
    CarefulListMixin,
    admin.ModelAdmin[Message],
):
    list_display = ("name", "subject", "language", "version", "changed")
    ordering = ("name",)
    search_fields = ("name",)
    when_empty = gettext_lazy(
        "No message yet. Write one, look at its preview and send yourself a test; a mailing"
        " then sends it to lists."
    )
    form = MessageForm
    fieldsets = (
        (None, {"fields": ("name", "language")}),
        (
            gettext_lazy("Content"),
            {
                "fields": (
                    "subject",
                    ("from_name", "from_address"),
                    "reply_to",
                    "html",
                    "text",
                    "opened",
                    "opened_name",
                    "opened_language",
                )
            },
        ),
    )
    inlines = (MessageFileInline, MessageVersionInline)
    goes_along = ("versions", "tests")
    history_values = (
        "name", "language", "subject", "from_name", "from_address", "reply_to",
    )  # fmt: skip
    when_deleted = gettext_lazy("No mailing sends it, and nothing was sent by it but tests.")
    object_actions = (SEND_TEST_ACTION,)
    refusals = (MailerError,)
    change_form_template = "admin/mailer/message/change_form.html"

    class Media:
        css = {"all": ("mailer/pages.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        newest = MessageVersion.objects.filter(message=OuterRef("pk")).order_by("-number")
        columns = ("number", "subject", "created_at")
        found: QuerySet[Message] = super().get_queryset(request)
        return found.annotate(
            **{f"version_{name}": Subquery(newest.values(name)[:1]) for name in columns}
        )

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else (MessageFileInline,)  # nothing has a version yet

    def happenings(
        self, request: HttpRequest, obj: Any, *, before: datetime | None
    ) -> Iterator[Happening]:
        versions = obj.versions.select_related("created_by")
        if before is not None:
            versions = versions.filter(created_at__lt=before)
        for version in versions.order_by("-number")[: SHOWN + 1]:
            words = _("Version %(number)s was saved.")
            if version.created_by:
                words = _("%(who)s saved version %(number)s.")
            who = name_of(version.created_by) if version.created_by else ""
            yield Happening(version.created_at, words % {"who": who, "number": version.number})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return fieldsets[:1]  # the content is read in its versions below

    def why_not_delete(self, obj: Any) -> str:
        mailings = [f"“{name}”" for name in obj.mailing_set.values_list("name", flat=True)[:5]]
        if mailings:
            words = _("“%(message)s” is sent by %(mailings)s. Give it another message first.")
            return words % {"message": obj, "mailings": ", ".join(mailings)}
        if Run.objects.filter(message_version__message=obj).exists():
            return _("“%(message)s” was sent, so it is kept with its run.") % {"message": obj}
        return ""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        (files,) = (formset for formset in formsets if isinstance(formset, FileFormSet))
        by: Any = request.user
        save_version(form.instance, form.content, files=files.attached, by=by)
        for warning in [*form.warnings, *files.warnings, *warnings_of_unknown(form.content)]:
            self.message_user(request, warning, messages.WARNING)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.download)
        # Before the stock ones, whose last pattern takes every path for an object's id.
        return [path("file/<int:pk>/", view, name="mailer_message_file"), *super().get_urls()]

    def download(self, request: HttpRequest, pk: int) -> FileResponse:
        """A file of any version, to be saved: what it holds is never shown by this site."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        file = get_object_or_404(MessageFile.objects.select_related("stored"), pk=pk)
        return FileResponse(
            BytesIO(file.stored.octets),
            as_attachment=True,
            filename=file.name,
            content_type="application/octet-stream",
            headers={"X-Content-Type-Options": "nosniff"},
        )

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        obj = kwargs.get("obj")
        context["tests"] = describe_tests(obj, request) if obj else []
        context["may_see_results"] = may_see_results(request)
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=gettext_lazy("subject"))
    def subject(self, message: Any) -> str:
        return message.version_subject or "—"

    @admin.display(description=gettext_lazy("version"))
    def version(self, message: Any) -> int | str:
        return message.version_number or "—"

    changed = time_column("version_created_at", gettext_lazy("content changed"))
