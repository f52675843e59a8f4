"""Links to an object's admin page, made without loading the object."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.db.models.options import Options
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django_stubs_ext import StrOrPromise


def admin_url(label: str, pk: Any) -> str:
    """The change page of "app_label.model" and a key; empty when the admin does not show it."""
    try:
        return reverse(f"admin:{label.lower().replace('.', '_')}_change", args=[quote(pk)])
    except NoReverseMatch:
        return ""


def admin_link(label: str, pk: Any, words: StrOrPromise = "") -> SafeString | str:
    """`admin_link("mailer.run", 14)` → a link that reads "Run 14"; plain words without a page."""
    if not words:
        words = object_words(label, pk)
    url = admin_url(label, pk)
    return format_html('<a href="{}">{}</a>', url, words) if url else str(words)


def object_words(label: str, pk: Any) -> str:
    """`object_words("mailer.run", 14)` → "Run 14"."""
    try:
        return f"{capfirst(_options(apps.get_model(label)).verbose_name)} {pk}"
    except (LookupError, ValueError):
        return f"{label} {pk}"


def name_column(field: str, description: StrOrPromise) -> Any:
    """A ModelAdmin's method that names what a relation leads to, without a link: the stock
    read-only field has one for whoever looks, also for those whom that page would refuse."""

    @admin.display(description=description)
    def column(model_admin: Any, obj: Any) -> str:
        return str(getattr(obj, field) or "—")

    return column


def link_to(obj: Model) -> SafeString | str:
    """A link to an object that is at hand, in its own words."""
    return admin_link(_options(obj).label, obj.pk, str(obj))


def url_of(obj: Model) -> str:
    """Its admin page; empty when the admin does not show it."""
    return admin_url(_options(obj).label, obj.pk)


def _options(model: Model | type[Model]) -> Options[Any]:
    return model._meta  # noqa: SLF001  # documented, whatever its name says
