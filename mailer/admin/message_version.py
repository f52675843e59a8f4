"""Every version a message ever had, to be read."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from admin_ext.components.links import name_column
from admin_ext.components.times import time_column
from mailer.models import MessageVersion

from .message_file import list_files
from .preview import PreviewMixin
from .read_only import ReadOnlyInline, ReadOnlyMixin
from .source_editor import SourceMedia, show_source


class MessageVersionInline(ReadOnlyInline):
    model = MessageVersion
    fields = ("number", "subject", "saved", "saved_by")
    readonly_fields = fields
    verbose_name_plural = _("versions, newest first")
    show_change_link = True
    saved = time_column("created_at", _("saved"))
    saved_by = name_column("created_by", _("by"))

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("message", "created_by")


@admin.register(MessageVersion)
class MessageVersionAdmin(PreviewMixin, ReadOnlyMixin, admin.ModelAdmin[MessageVersion]):
    """Reached from its message; in no menu."""

    fields = (
        "message", "number", "saved", "saved_by", "subject", "sender", "reply_to",
        "html_source", "text_source", "attached",
    )  # fmt: skip
    readonly_fields = ("saved", "saved_by", "sender", "html_source", "text_source", "attached")
    change_form_template = "admin/mailer/messageversion/change_form.html"
    saved = time_column("created_at", _("saved"))
    saved_by = name_column("created_by", _("by"))

    Media = SourceMedia

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        user: Any = request.user
        return bool(user.has_perm("mailer.view_message") or user.has_perm("mailer.change_message"))

    @admin.display(description=_("from"))
    def sender(self, version: MessageVersion) -> str:
        return f"{version.from_name} <{version.from_address}>".strip()

    @admin.display(description=_("HTML"))
    def html_source(self, version: MessageVersion) -> SafeString | str:
        return show_source(version.html, kind="html")

    @admin.display(description=_("plain text"))
    def text_source(self, version: MessageVersion) -> SafeString | str:
        return show_source(version.text, kind="text")

    @admin.display(description=_("files"))
    def attached(self, version: MessageVersion) -> SafeString | str:
        return list_files(version)
