"""`{% load admin_ext %}`: badges, progress, numbers and times in templates."""

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString
from django_stubs_ext import StrOrPromise

from admin_ext.components import badges, links, numbers, times
from admin_ext.components.progress import progress as progress_element

register = template.Library()


@register.simple_tag
def badge(state: str, label: StrOrPromise = "") -> SafeString:
    """{% badge run.state run.get_state_display %}"""
    return badges.badge(state, label)


@register.simple_tag
def progress(done: int, total: int, label: StrOrPromise = "") -> SafeString:
    """{% progress run.done run.total label %}"""
    return progress_element(done, total, label)


@register.filter
def number(value: float | None) -> str:
    """{{ 48210|number }} → 48,210"""
    return "" if value is None else numbers.format_number(value)


@register.simple_tag
def when(value: datetime | None, now: datetime | None = None) -> SafeString:
    """{% when run.started_at %} → in 3 h, exact on hover and for screen readers."""
    return times.time_tag(value, now=now or timezone.now())


@register.simple_tag
def admin_link(label: str, pk: object, words: StrOrPromise = "") -> SafeString | str:
    """{% admin_link "mailer.run" 14 %} → <a href="…">Run 14</a>"""
    return links.admin_link(label, pk, words)
