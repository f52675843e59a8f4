"""A ModelAdmin with every kind of action, over Django's own groups."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest

from admin_ext.components.confirm import ObjectForm
from admin_ext.components.list_actions import confirmed_action
from admin_ext.components.object_actions import ObjectAction, ObjectActionsMixin
from admin_ext.components.outcome import ActionDone, ActionRefused
from admin_ext.components.paginator import BigTableMixin

PERMISSION = "auth.change_group"
calls: list[tuple[Any, ...]] = []


class TooManyError(Exception):
    """A refusal of the project's own."""


class WordForm(ObjectForm):
    word = forms.CharField(label="Word")

    def clean_word(self) -> str:
        if self.cleaned_data["word"] == self.obj.name:
            raise forms.ValidationError("not its own name")
        return str(self.cleaned_data["word"])


def note(request: HttpRequest, group: Group, moment: datetime) -> str:
    calls.append(("note", group.pk, moment, request.user.pk))
    return "Noted."


def refuse(request: HttpRequest, group: Group, moment: datetime) -> str:
    raise ActionRefused("The relay is paused.")


def fail(request: HttpRequest, group: Group, moment: datetime) -> str:
    raise TooManyError("Too many.")


def write(request: HttpRequest, group: Group, moment: datetime, data: dict[str, Any]) -> ActionDone:
    calls.append(("write", group.pk, data))
    return ActionDone("Written.", url="/elsewhere/")


def action(name: str, run: Any, **more: Any) -> ObjectAction:
    return ObjectAction(
        name=name,
        label=name.title(),
        permission=PERMISSION,
        question=lambda group: f"About {group.name}?",
        run=run,
        **more,
    )


class GroupAdmin(ObjectActionsMixin, BigTableMixin, admin.ModelAdmin[Group]):
    list_display = ("name",)
    search_fields = ("name",)
    refusals = (TooManyError,)
    actions = ("note_selected",)
    object_actions = (
        action("note", note),
        action("refuse", refuse),
        action("fail", fail),
        action("write", write, form_class=WordForm, dangerous=True, button=lambda g: "Write it"),
        action("never", note, available=lambda group: False, why_not=lambda group: "It never is."),
    )

    @confirmed_action(
        description="Note…",
        permission=PERMISSION,
        question=lambda rows, count: f"{count} groups?",
        button=lambda count: f"Note {count}",
    )
    def note_selected(self, request: HttpRequest, rows: Any, moment: datetime) -> str:
        if rows.filter(name="bad").exists():
            raise ActionRefused("One is bad.")
        calls.append(("rows", sorted(rows.values_list("name", flat=True)), moment))
        return f"{rows.count()} noted."


site = admin.AdminSite(name="toy")
site.register(Group, GroupAdmin)
