"""How far something is: the browser's own progress bar, and the same in words."""

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django_stubs_ext import StrOrPromise

from .numbers import format_number, format_percent


def progress(done: int, total: int, label: StrOrPromise = "") -> SafeString:
    """`progress(29410, 48210)` → a bar and "29,410 of 48,210 · 61 %"."""
    done = min(max(done, 0), total)
    words = _("%(done)s of %(total)s") % {
        "done": format_number(done),
        "total": format_number(total),
    }
    return format_html(
        '<span class="progress"><progress max="{}" value="{}" aria-label="{}"></progress>'
        ' <span class="progress-text">{} · {}</span></span>',
        total or 1,
        done,
        label or _("Progress"),
        words,
        format_percent(done, total),
    )
