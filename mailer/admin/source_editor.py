"""Source with highlighting, to be written and to be read; without script a plain field."""

import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

from django import forms
from django.forms.widgets import Script
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from mailer.engine.template_check import FILTERS
from mailer.services.placeholders import known_placeholders

#: No more is shown at its line; the list above the field has all.
MARKS = 50
TAGS = ("if", "elif", "else", "endif", "for", "endfor")


class SourceMedia:
    """The Media of whatever shows source; half a megabyte that no other page loads."""

    css = {"all": ("mailer/source.css",)}
    js = (
        Script("mailer/vendor/codemirror/codemirror.js", defer=True),
        Script("mailer/source.js", defer=True),
    )


class SourceInput(forms.Textarea):
    """A part of a message, `kind` "html" or "text"."""

    Media = SourceMedia

    def __init__(self, kind: str, *, rows: int, **attrs: str) -> None:
        super().__init__({"class": "source", "rows": rows, "data-source": kind, **attrs})

    def offer(self, offers: str) -> None:
        """Have the editor offer what `describe_offers` says, and say its keys."""
        keys = _(
            "{{ offers what can be filled in. Tab leaves the field; Ctrl-F or ⌘F searches in it,"
            " Ctrl-Z or ⌘Z undoes."
        )
        self.attrs |= {"data-offers": offers, "data-keys": keys}

    def mark(self, problems: Iterable[tuple[int, str]]) -> None:
        """Have the editor show what is wrong, as line and words, at its line."""
        first = islice(problems, MARKS)
        marks = [{"line": line, "words": words} for line, words in first]
        self.attrs["data-problems"] = json.dumps(marks)


def describe_offers() -> str:
    """What the language has to complete; one query."""
    offers: dict[str, Any] = {
        "names": known_placeholders(),
        "filters": sorted(FILTERS - {"d", "e"}),  # short for default and escape
        "tags": TAGS,
    }
    return json.dumps(offers)


def show_source(text: str, *, kind: str) -> SafeString | str:
    pre = '<pre class="code" data-source="{}">{}</pre>'
    return format_html(pre, kind, text) if text else "—"
