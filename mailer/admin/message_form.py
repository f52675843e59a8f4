"""A message and its content on one form; what is wrong with a template is said by line."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from admin_ext.components.times import exact_time
from mailer.addresses import normalize_address
from mailer.models import Message, MessageVersion
from mailer.names import validate_name
from mailer.services.writing import (
    CONTENT_FIELDS,
    Finding,
    check_message,
    is_renamed,
    newer_version,
)

from .source_editor import SourceInput, describe_offers

one_line = RegexValidator(r"^[^\r\n]*$", gettext_lazy("Write it on one line."))


class SourceField(forms.CharField):
    """Text kept as it was written, but for the line ends that browsers put in."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, strip=False, **kwargs)

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value) or "").replace("\r\n", "\n").replace("\r", "\n")


class AddressField(forms.CharField):
    """An e-mail address by mailer's own rules, normalised."""

    widget = forms.EmailInput(attrs={"class": "vTextField"})

    def clean(self, value: Any) -> str:
        text = str(super().clean(value) or "")
        try:
            return normalize_address(text).address if text else ""
        except ValueError as error:
            raise ValidationError(str(error)) from None


class MessageForm(forms.ModelForm[Message]):
    subject = forms.CharField(
        label=gettext_lazy("Subject"),
        max_length=500,
        validators=[one_line],
        widget=forms.TextInput(attrs={"class": "vLargeTextField"}),
        help_text=gettext_lazy("{{ name }} fills in the recipient's name, here and below."),
    )
    from_name = forms.CharField(
        label=gettext_lazy("From: name"),
        max_length=200,
        required=False,
        validators=[validate_name],
        help_text=gettext_lazy("Whom people see that it is from."),
    )
    from_address = AddressField(
        label=gettext_lazy("From: address"),
        max_length=254,
        help_text=gettext_lazy("The relay has to allow it as a sender."),
    )
    reply_to = AddressField(
        label=gettext_lazy("Reply to"),
        max_length=254,
        required=False,
        help_text=gettext_lazy("Empty: replies go to the address above."),
    )
    html = SourceField(
        label=gettext_lazy("HTML"), widget=SourceInput("html", rows=20, spellcheck="false")
    )
    text = SourceField(
        label=gettext_lazy("Plain text"),
        widget=SourceInput("text", rows=12),
        help_text=gettext_lazy("Empty: it is made from the HTML."),
    )
    # What the page was opened on: what came after it is not overwritten unseen.
    opened = forms.IntegerField(required=False, widget=forms.HiddenInput)
    opened_name = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)
    opened_language = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)

    class Meta:
        model = Message
        fields = ("name", "language")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.warnings: list[str] = []
        offers = describe_offers()
        for widget in self._sources().values():
            widget.offer(offers)
        current = self.instance.current if self.instance.pk else None
        if self.instance.pk:
            self.initial["opened_name"] = self.instance.name
            self.initial["opened_language"] = self.instance.language
        if current is not None:
            stored = {name: getattr(current, name) for name in CONTENT_FIELDS}
            self.initial = {**self.initial, **stored, "opened": current.number}

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        html, text = values.get("html", ""), values.get("text", "")
        if not html.strip() and not text.strip():
            self.add_error("html", _("The message is empty: write HTML, plain text or both."))
        findings = check_message(subject=values.get("subject", ""), html=html, text=text)
        for found in findings:
            if found.problem.kind == "error":
                self.add_error(found.field, _line_and_reason(found))
            else:
                label = self.fields[found.field].label
                self.warnings.append(f"{label}: {_line_and_reason(found)}")
        for name, widget in self._sources().items():
            errors = [f for f in findings if f.field == name and f.problem.kind == "error"]
            widget.mark((found.problem.line, _line_and_reason(found)) for found in errors)
        theirs = (
            newer_version(self.instance, than=values.get("opened")) if self.instance.pk else None
        )
        if theirs is not None:
            self.add_error(None, _who_was_first(theirs))
        elif self.instance.pk and is_renamed(
            self.instance,
            name=values.get("opened_name", ""),
            language=values.get("opened_language", ""),
        ):
            self.add_error(None, _somebody_was_first(self.instance))
        return values

    @property
    def content(self) -> dict[str, str]:
        """What save_version takes, of a valid form."""
        return {name: self.cleaned_data[name] for name in CONTENT_FIELDS}

    def _sources(self) -> dict[str, SourceInput]:
        widgets = {name: field.widget for name, field in self.fields.items()}
        return {name: found for name, found in widgets.items() if isinstance(found, SourceInput)}


def _who_was_first(theirs: MessageVersion) -> str:
    return _(
        "“%(message)s” was changed by %(who)s on %(when)s, after this page was opened. Nothing was"
        " saved. What you wrote is below; open the message anew to see what it holds now."
    ) % {
        "message": theirs.message,
        "who": theirs.created_by or _("somebody"),
        "when": exact_time(theirs.created_at),
    }


def _somebody_was_first(message: Message) -> str:
    return _(
        "The name or language of “%(message)s” was changed after this page was opened. Nothing was"
        " saved. What you wrote is below; open the message anew to see what it holds now."
    ) % {"message": message}


def _line_and_reason(found: Finding) -> str:
    return _("Line %(line)s: %(reason)s.") % {
        "line": found.problem.line,
        "reason": found.problem.reason.rstrip("."),
    }
