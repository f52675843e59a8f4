"""One subscription in a form: its state, and what a change rests on."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from admin_ext.components.plain_form import ShortSelectsMixin
from admin_ext.components.times import time_column
from mailer.models import Subscription
from mailer.services.consent import change_subscription, needs_evidence
from mailer.states import SubscriptionState


class SubscriptionForm(forms.ModelForm[Subscription]):
    evidence = forms.CharField(
        label=_("What the change rests on"),
        max_length=300,
        required=False,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text=_("Kept as a consent record: “their e-mail of 3 May”, “a form they signed”."),
    )

    class Meta:
        model = Subscription
        fields = ("list", "recipient", "state")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "list" in self.fields:
            # Another list is another subscription, with a consent of its own.
            self.fields["list"].disabled = True

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        before = self.initial.get("state") if self.instance.pk else None
        to, evidence = values.get("state", ""), values.get("evidence", "")
        if needs_evidence(before, to) and not evidence:
            self.add_error(
                "evidence", _("They unsubscribed. Write what their wish to come back rests on.")
            )
        person = values.get("recipient")  # on a recipient's own page with their changed address
        if to == SubscriptionState.UNSUBSCRIBED and person and person.is_moving():
            self.add_error(
                "state",
                _("Do not change the address in the same step: which of the two unsubscribed?"),
            )
        return values


def save_subscription(form: SubscriptionForm, *, by: Any, now: datetime) -> None:
    """Save what a valid form says, with its consent record."""
    change_subscription(
        form.instance,
        to=SubscriptionState(form.cleaned_data["state"]),
        by=by,
        now=now,
        evidence=form.cleaned_data["evidence"],
    )


class SubscriptionInline(ShortSelectsMixin, admin.TabularInline[Subscription, Any]):
    """The lists that one person is on."""

    model = Subscription
    form = SubscriptionForm
    fields = ("list", "state", "evidence", "changed")
    readonly_fields = ("changed",)
    changed = time_column("changed_at", _("changed"))
    autocomplete_fields = ("list",)
    extra = 0
    can_delete = False  # unsubscribing keeps the record of it
    show_change_link = True

    class Media:
        css = {"all": ("mailer/pages.css",)}

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("list", "recipient")
