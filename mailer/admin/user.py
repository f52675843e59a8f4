"""Users: the people who work here, and what they may do."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from admin_ext.components.change_list import CarefulListMixin
from admin_ext.components.history import HistoryMixin
from admin_ext.components.plain_form import OwnWordsMixin, ShortSelectsMixin
from admin_ext.components.times import time_column
from mailer.models import Audit, MessageVersion

from .deletion import GuardedDeletionMixin

admin.site.unregister(User)


@admin.register(User)
class UserAdmin(
    HistoryMixin,
    OwnWordsMixin,
    ShortSelectsMixin,
    GuardedDeletionMixin,
    CarefulListMixin,
    StockUserAdmin[User],
):
    list_display = ("username", "person", "email", "roles", "is_active", "seen")
    list_filter = ("is_active", "groups")
    filter_horizontal = ("user_permissions",)
    autocomplete_fields = ("groups",)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (gettext_lazy("Who it is"), {"fields": (("first_name", "last_name"), "email")}),
        (
            gettext_lazy("What they may do"),
            {"fields": ("is_active", "is_staff", "groups", "is_superuser")},
        ),
        (
            gettext_lazy("Single permissions"),
            {"classes": ("collapse",), "fields": ("user_permissions",)},
        ),
        (gettext_lazy("When"), {"fields": ("seen", "joined")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": (
                    "username", "password1", "password2", "is_staff", "groups",
                ),
            },
        ),
    )  # fmt: skip
    readonly_fields = ("seen", "joined")
    labels = {
        "is_active": gettext_lazy("Account is on"),
        "is_staff": gettext_lazy("May open these pages"),
        "is_superuser": gettext_lazy("May do everything"),
        "user_permissions": gettext_lazy("Permissions"),
    }
    help_texts = {
        "username": gettext_lazy("What they log in with: letters, digits and @ . + - _"),
        "is_active": gettext_lazy(
            "Off: they cannot log in. What they did stays in the history under their name."
        ),
        "is_staff": gettext_lazy("Without it, logging in leads nowhere."),
        "is_superuser": gettext_lazy(
            "Whatever their roles say, and also what no role has: relays, users and roles."
        ),
        "groups": gettext_lazy("Somebody with several may do what any of them allows."),
        "user_permissions": gettext_lazy(
            "Beside those of the roles. Where several people need the same, make a role of it."
        ),
    }
    history_values = ("is_active", "is_staff", "is_superuser", "groups")
    when_deleted = gettext_lazy("They can no longer log in. Nothing was ever done by them here.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"is_staff": True, **super().get_changeform_initial_data(request)}

    def why_not_delete(self, obj: Any) -> str:
        """Their entries in the history would go along, or lose their name."""
        done = (
            LogEntry.objects.filter(user=obj),
            Audit.objects.filter(actor=obj),
            MessageVersion.objects.filter(created_by=obj),
        )
        if not any(found.exists() for found in done):
            return ""
        return _(
            "“%(user)s” is kept: the history says what they did. To lock them out, untick"
            " “Account is on”."
        ) % {"user": obj}

    @admin.display(description=gettext_lazy("name"))
    def person(self, user: User) -> str:
        return user.get_full_name() or "—"

    @admin.display(description=gettext_lazy("roles"))
    def roles(self, user: User) -> str:
        if user.is_superuser:
            return _("may do everything")
        return ", ".join(group.name for group in user.groups.all()) or "—"

    seen = time_column("last_login", gettext_lazy("last login"), ordering="last_login")
    joined = time_column("date_joined", gettext_lazy("added"))
