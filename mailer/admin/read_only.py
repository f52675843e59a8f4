"""What services write and people only read."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from admin_ext.components.history import HistoryMixin


class ReadOnlyMixin(HistoryMixin):
    """Looked at, never added, changed or deleted by hand."""

    has_history = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyInline(admin.TabularInline[Any, Any]):
    """A table below its object; whoever may see the object may see it."""

    extra = 0
    can_delete = False

    class Media:
        css = {"all": ("mailer/pages.css",)}

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True
