"""The confirmation page: says what will happen, with the number; only its POST changes anything."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin import ModelAdmin
from django.forms import Form
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django_stubs_ext import StrOrPromise

from .moment import sign_moment

MOMENT_FIELD = "_moment"


class ObjectForm(Form):
    """A form on a confirmation page that knows its object, to offer that object's own choices."""

    def __init__(self, *args: Any, obj: Any, **kwargs: Any) -> None:
        self.obj = obj
        super().__init__(*args, **kwargs)


def make_form(form_class: type[Form] | None, request: HttpRequest, obj: Any) -> Form | None:
    """The action's extra fields: bound once the confirmation page was posted."""
    if form_class is None:
        return None
    bound: tuple[Any, ...] = (
        (request.POST, request.FILES) if MOMENT_FIELD in request.POST else (None, None)
    )
    if issubclass(form_class, ObjectForm):
        return form_class(*bound, obj=obj)
    return form_class(*bound)


def run_with_form(run: Callable[..., Any], form: Form | None, *args: Any) -> Any:
    """Call `run`, with what the form's fields hold when the action has a form."""
    return run(*args) if form is None else run(*args, form.cleaned_data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """One question: what is asked, the words on the button, and what the form sends along."""

    title: StrOrPromise
    question: StrOrPromise
    button: StrOrPromise
    purpose: str
    cancel_url: str
    hidden: Sequence[tuple[str, str]] = ()
    dangerous: bool = False
    form: Form | None = None
    #: What it is about, when that is one object.
    about: str = ""
    warning: StrOrPromise = ""


def render_confirmation(
    model_admin: ModelAdmin[Any], request: HttpRequest, asked: Confirmation, *, moment: datetime
) -> TemplateResponse:
    """Render admin_ext/confirm.html; nothing is changed by it."""
    request.current_app = model_admin.admin_site.name
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "media": model_admin.media + asked.form.media if asked.form else model_admin.media,
        "title": str(asked.title).removesuffix("…"),  # that is for what leads here
        "subtitle": None,
        "asked": asked,
        "hidden": [*asked.hidden, (MOMENT_FIELD, sign_moment(moment, purpose=asked.purpose))],
    }
    return TemplateResponse(request, "admin_ext/confirm.html", context)
