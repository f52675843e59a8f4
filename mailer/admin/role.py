"""Roles, which Django calls groups: what several people may do."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as StockGroupAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from admin_ext.components.change_list import CarefulListMixin
from admin_ext.components.history import HistoryMixin
from admin_ext.components.numbers import format_number
from admin_ext.components.plain_form import OwnWordsMixin

from .deletion import GuardedDeletionMixin

#: Nobody works with these on any page.
INTERNAL = ("admin", "contenttypes", "sessions")

admin.site.unregister(Group)
# The words alone: no migration sees them.
User._meta.get_field("groups").verbose_name = _("roles")  # noqa: SLF001
Group._meta.verbose_name, Group._meta.verbose_name_plural = _("role"), _("roles")  # noqa: SLF001


@admin.register(Group)
class RoleAdmin(
    HistoryMixin, OwnWordsMixin, GuardedDeletionMixin, CarefulListMixin, StockGroupAdmin
):
    list_display = ("name", "people")
    fields = ("name", "permissions")
    help_texts = {
        "permissions": _(
            "Whoever has this role may do what is on the right. To add, change or delete something"
            " one has to be able to view it, too."
        )
    }
    history_values = ("name",)
    when_deleted = _("Whoever has it may no longer do what it allows, unless another role does.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        found: QuerySet[Group] = super().get_queryset(request)
        return found.annotate(how_many=Count("user"))

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None:
            field.queryset = field.queryset.exclude(content_type__app_label__in=INTERNAL)
        return field

    @admin.display(description=_("people"))
    def people(self, role: Any) -> str:
        return format_number(role.how_many)
