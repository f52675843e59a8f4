"""A relay's form: its password goes in and never comes out."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from mailer.models import Relay

#: Which kind of relay a field belongs to; the other kind ignores what it holds.
KIND_OF: Mapping[str, str] = {
    "backend": "backend",
    "from_environment": "smtp",
    "host": "smtp",
    "port": "smtp",
    "security": "smtp",
    "username": "smtp",
    "password": "smtp",
    "forget_password": "smtp",
}
#: How the relay is reached: after a change of these, its earlier troubles say nothing.
CONNECTION = {"kind", *KIND_OF}

#: What it waits for may be over after a change of these.
LIMITS = {
    "rate_per_second", "rate_per_minute", "rate_per_hour", "rate_per_day",
    "warm_up_from", "warm_up_first", "warm_up_factor", "warm_up_full",
}  # fmt: skip


class RelayForm(forms.ModelForm[Relay]):
    password = forms.CharField(
        label=_("Password"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    forget_password = forms.BooleanField(
        label=_("Forget the stored password"),
        required=False,
        help_text=_("The relay is then used without one."),
    )

    class Meta:
        model = Relay
        fields = (
            "name", "kind", "backend", "from_environment", "host", "port", "security", "username",
            "rate_per_second", "rate_per_minute", "rate_per_hour", "rate_per_day", "connections",
            "warm_up_from", "warm_up_first", "warm_up_factor", "warm_up_full",
        )  # fmt: skip
        help_texts = {
            "backend": _(
                "One of MAILER_BACKENDS of this installation; its keys are in the environment, too."
            ),
            "rate_per_second": "",
            "connections": _(
                "At most so many at a time, for all mail through it. More are faster where the"
                " server is far away; its owner says how many it allows."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "backend" in self.fields:  # else the site has none, and its relays are SMTP servers
            listed = [("", "—"), *((name, name) for name in settings.MAILER_BACKENDS)]
            self.fields["backend"].widget = forms.Select(choices=listed)
        for name, kind in KIND_OF.items():
            if name in self.fields:  # static/mailer/relay.js hides what the kind does not need
                self.fields[name].widget.attrs["data-kind"] = kind
        if "password" in self.fields:
            self.fields["password"].help_text = (
                _("One is stored, encrypted. Leave this empty to keep it.")
                if self.instance.password_encrypted
                else _("None is stored. It is kept encrypted and never shown again.")
            )

    @property
    def limits_changed(self) -> bool:
        return not LIMITS.isdisjoint(self.changed_data)

    @property
    def connection_changed(self) -> bool:
        return not CONNECTION.isdisjoint(self.changed_data)

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        kind = values.get("kind", self.instance.kind)
        for name, needed_by in KIND_OF.items():
            if kind != needed_by:
                # A field that this kind ignores: what is stored stays.
                self.errors.pop(name, None)
                values.pop(name, None)
        if kind == Relay.Kind.BACKEND:
            return values
        if values.get("password") and values.get("forget_password"):
            self.add_error("forget_password", _("Either a new password or none: choose one."))
        elif values.get("username") and not values.get("from_environment"):
            self._need_password(values)
        return values

    def _need_password(self, values: dict[str, Any]) -> None:
        if values.get("forget_password"):
            words = _("The user name needs its password: empty it, too, or keep the password.")
            self.add_error("forget_password", words)
        elif not values.get("password") and not self.instance.password_encrypted:
            self.add_error("password", _("Give the user name's password, or empty the user name."))

    def save(self, commit: bool = True) -> Relay:
        if self.cleaned_data.get("password"):
            self.instance.set_password(self.cleaned_data["password"])
        elif self.cleaned_data.get("forget_password"):
            self.instance.set_password("")
        return super().save(commit)
