"""An object's history as sentences, newest first: who did what, and when."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.dateparse import parse_datetime
from django.utils.text import get_text_list
from django.utils.translation import gettext as _

from .field_words import value_in_words
from .times import exact_time

#: In a sentence that is kept: the name as it is when somebody reads it.
WHO = "%(who)s"
SHOWN = 100


@dataclass(frozen=True, slots=True)
class Happening:
    """One sentence of a history."""

    at: datetime
    words: str

    @property
    def exact(self) -> str:
        """One may have to tell a minute from the next: never only "2 days ago"."""
        return exact_time(self.at)


def note_change(request: HttpRequest, obj: Any, words: str) -> None:
    """Write a sentence into an object's history; WHO in it stands for the request's user."""
    by: Any = request.user
    LogEntry.objects.log_actions(by.pk, [obj], CHANGE, change_message=words, single_object=True)


def name_of(user: Any) -> str:
    return str(user.get_full_name() or user.get_username())


class HistoryMixin(ModelAdmin[Any]):
    """Tells before and after of the fields in `history_values`: never name one that holds a secret,
    or a person, whose erasure the history outlives."""

    history_values: Sequence[str] = ()
    #: Whether its page leads there: not where nothing is ever written down.
    has_history = True
    object_history_template = "admin_ext/history.html"

    def happenings(
        self, request: HttpRequest, obj: Any, *, before: datetime | None
    ) -> Iterable[Happening]:
        """What else belongs to the history: the SHOWN newest before this time, and all of it when
        there is none."""
        return []

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        parts: Any = super().construct_change_message(request, form, formsets, add)
        if form.changed_data and not add:
            parts[0]["changed"]["values"] = [
                _before_and_after(form, name) if name in self.history_values else None
                for name in form.changed_data
            ]
        return parts

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["without_history"] = not self.has_history
        return super().render_change_form(request, context, *args, **kwargs)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().history_view(request, object_id, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data is not None:
            obj = response.context_data["object"]
            before = _read_time(request.GET.get("before", ""))
            logged = _logged(obj, before=before)
            found = [*logged, *self.happenings(request, obj, before=before)]
            found = sorted(found, key=lambda happening: happening.at, reverse=True)
            shown = _first_page(found)
            older = shown[-1].at.isoformat() if len(shown) < len(found) else ""
            response.context_data |= {"happenings": shown, "older": older, "narrowed": before}
        return response


def _logged(obj: Any, *, before: datetime | None) -> Iterator[Happening]:
    kind = ContentType.objects.get_for_model(obj)
    entries = LogEntry.objects.filter(content_type=kind, object_id=str(obj.pk))
    if before is not None:
        entries = entries.filter(action_time__lt=before)
    # One more than is shown: it says that there are older ones.
    for entry in entries.select_related("user").order_by("-action_time")[: SHOWN + 1]:
        yield Happening(entry.action_time, sentence_of(entry))


def _first_page(found: Sequence[Happening]) -> Sequence[Happening]:
    """The newest, without those that happened at one moment with the first of the next page."""
    if len(found) <= SHOWN:
        return found
    whole = [happening for happening in found[:SHOWN] if happening.at > found[SHOWN].at]
    return whole or found[:SHOWN]


def sentence_of(entry: LogEntry) -> str:
    """ "Ann changed Relay from “Provider” to “Spare”, and Name." """
    who = name_of(entry.user)
    if entry.change_message and not entry.change_message.startswith("["):
        if WHO in entry.change_message:
            return entry.change_message.replace(WHO, who)
        return f"{who}: {entry.change_message}"
    done = "; ".join(_parts(entry))
    return _("%(who)s %(did)s.") % {"who": who, "did": done}


def _parts(entry: LogEntry) -> Iterator[str]:
    if entry.action_flag == DELETION:
        yield _("deleted it")
        return
    told = False
    for part in _read_parts(entry.change_message):
        for kind, what in part.items():
            told = True
            yield _part(kind, what)
    if not told:
        yield _("added it") if entry.action_flag == ADDITION else _("saved it without a change")


def _read_parts(text: str) -> Any:
    try:
        return json.loads(text or "[]")
    except ValueError:
        return []


def _part(kind: str, what: dict[str, Any]) -> str:
    named = {"name": _(what["name"]), "object": what["object"]} if "name" in what else {}
    match kind:
        case "added":
            return _("added the %(name)s “%(object)s”") % named if named else _("added it")
        case "deleted":
            return _("removed the %(name)s “%(object)s”") % named
    values = what.get("values") or [None] * len(what["fields"])
    fields = [_field(label, both) for label, both in zip(what["fields"], values, strict=True)]
    changed = get_text_list(fields, _("and"))
    if named:
        return _("changed %(fields)s of the %(name)s “%(object)s”") % {**named, "fields": changed}
    return _("changed %(fields)s") % {"fields": changed}


def _field(label: str, both: Sequence[str] | None) -> str:
    if both is None:
        return _(label)
    before, after = (f"“{words}”" if words else _("nothing") for words in both)
    return _("%(field)s from %(before)s to %(after)s") % {
        "field": _(label),
        "before": before,
        "after": after,
    }


def _before_and_after(form: Any, name: str) -> tuple[str, str] | None:
    """None where one of the two is too long to be read in a line."""
    field = form.fields[name]
    before = value_in_words(field, form[name].initial)
    after = value_in_words(field, form.cleaned_data.get(name))
    return None if before is None or after is None else (before, after)


def _read_time(text: str) -> datetime | None:
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
