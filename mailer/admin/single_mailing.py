"""A mailing that the site itself sends, one message at a time: no lists and no schedule."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from mailer.models import Mailing

FIELDSETS: Any = (
    (None, {"fields": ("name", "message", "schedule", "relay", "urgent", "expires_after_hours")}),
)
#: It is the message's own.
READ_ONLY = ("message",)


class SingleMailingForm(forms.ModelForm[Mailing]):
    #: There is no schedule to change, nor one to switch on.
    schedule_changed = asked_in_vain = False

    class Meta:
        model = Mailing
        fields = ("name", "relay", "urgent", "expires_after_hours")
        labels = {"expires_after_hours": _("Give up after (hours)")}
        help_texts = {
            "expires_after_hours": _(
                "What the relay has not taken after so many hours is given up."
            ),
        }
