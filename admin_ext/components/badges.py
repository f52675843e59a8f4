"""A state as a coloured word. The colour comes from skin.css by the state's own name."""

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst, slugify
from django_stubs_ext import StrOrPromise


def badge(state: str, label: StrOrPromise = "") -> SafeString:
    """`badge("sent", _("Sent"))` → <span class="badge badge-sent">Sent</span>.

    A TextChoices member brings its own label. An unknown state is grey.
    """
    words = label or getattr(state, "label", "") or str(state).replace("_", " ")
    return format_html(
        '<span class="badge badge-{}">{}</span>', slugify(str(state)), capfirst(words)
    )
