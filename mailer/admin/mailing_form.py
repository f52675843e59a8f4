"""A mailing on one form: what, to whom, through what, and when in plain fields."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext_lazy as _

from mailer.models import Mailing
from mailer.models.recipient import time_zone_names, validate_time_zone
from mailer.services.scheduling import schedule_of
from mailer.services.slots import Schedule

from .schedule_fields import KINDS_OF, FieldError, build_schedule, check_schedule, show_schedule

UNITS = [
    ("minutes", _("minutes")), ("hours", _("hours")), ("days", _("days")), ("weeks", _("weeks")),
]  # fmt: skip
MONTH_DAYS = [
    *((str(day), str(day)) for day in range(1, 32)),
    ("last", _("the last day")),
    ("last working", _("the last working day")),
]


class ZoneInput(forms.TextInput):
    """A text field that suggests time zones, by the browser alone."""

    template_name = "mailer/widgets/zone.html"

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, {**(attrs or {}), "list": f"{name}_zones"})
        context["zones"] = sorted(time_zone_names())
        return context


def _number(label: Any, help_text: Any = "") -> forms.IntegerField:
    return forms.IntegerField(label=label, required=False, min_value=1, help_text=help_text)


def _date(label: Any, **kwargs: Any) -> forms.DateField:
    widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    return forms.DateField(label=label, required=False, widget=widget, **kwargs)


def _time(label: Any, **kwargs: Any) -> forms.TimeField:
    widget = forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    return forms.TimeField(label=label, required=False, widget=widget, **kwargs)


def _read_month_day(value: str) -> int | str:
    return int(value) if value.isdigit() else value


class MailingForm(forms.ModelForm[Mailing]):
    #: A schedule that is on sends: to switch or move it takes the permission to send.
    may_schedule = True

    every_count = _number(_("Every"))
    every_unit = forms.ChoiceField(label=_("Unit"), choices=UNITS, required=False)
    weekdays = forms.TypedMultipleChoiceField(
        label=_("On"),
        choices=list(WEEKDAYS.items()),
        coerce=int,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    weeks_interval = _number(_("Every so many weeks"), help_text=_("1 is each week."))
    month_day = forms.TypedChoiceField(
        label=_("On day"),
        choices=[("", "—"), *MONTH_DAYS],
        coerce=_read_month_day,
        required=False,
        help_text=_("A day that a month lacks falls on its last day."),
    )
    month_interval = _number(
        _("Every so many months"), help_text=_("1 is each month, 3 each quarter.")
    )
    crontab = forms.CharField(
        label=_("Crontab"),
        max_length=200,
        required=False,
        help_text=_(
            "Minute, hour, day of month, month, day of week: 0 9 * * 1 is Mondays at 09:00. With"
            " both a day of the month and a day of the week, both have to be right (elsewhere one"
            " is enough): 0 9 13 * 5 is only a Friday the 13th."
        ),
    )
    start_date = _date(
        _("Starting on"),
        help_text=_(
            "Once: the moment it is sent. Otherwise nothing is sent before it, and days, weeks and"
            " months take their time of day from it."
        ),
    )
    start_time = _time(_("At"))
    end_date = _date(_("Stop after"), help_text=_("Empty: goes on until switched off."))
    end_time = _time(_("At"))

    class Meta:
        model = Mailing
        fields = (
            "name", "message", "lists", "relay", "relay_share", "urgent", "weight", "enabled",
            "schedule_kind", "schedule_zone", "missed", "late_minutes", "overlap",
            "expires_after_hours", "breaker_percent", "breaker_after",
        )  # fmt: skip
        labels = {
            "late_minutes": _("Late by at most (minutes)"),
            "expires_after_hours": _("Give up after (hours)"),
            "breaker_percent": _("Pause when so many are refused (%)"),
            "breaker_after": _("But not before so many were tried"),
        }
        help_texts = {
            "expires_after_hours": _(
                "What the relay has not taken after so many hours is given up. 96 hours are 4 days."
            ),
            "breaker_percent": _(
                "The run pauses itself and waits for somebody to look at it; nobody is left out."
                " Empty: it goes on whatever is refused."
            ),
            "breaker_after": _(
                "A tenth of them is enough where the replies are about policy or reputation (5.7)."
            ),
        }
        widgets = {"schedule_zone": ZoneInput}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.before = schedule_of(self.instance) if self.instance.pk else _first_schedule()
        self.schedule: Schedule | None = None
        self.schedule_changed = False
        self.asked_in_vain = False  # to switch on a schedule that this kind has not
        self.initial = {**self.initial, **show_schedule(self.before)}
        if (percent := self.initial.get("breaker_percent")) and percent == int(percent):
            self.initial["breaker_percent"] = int(percent)  # 5, not 5.0
        if not self.may_schedule:
            self._lock_schedule()
        if "schedule_zone" in self.fields:  # before clean() reads it
            self.fields["schedule_zone"].validators.append(validate_time_zone)
        for name, kinds in KINDS_OF.items():
            if name in self.fields:  # static/mailer/schedule.js hides what the kind does not need
                self.fields[name].widget.attrs["data-kinds"] = " ".join(kinds)

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        kind = values.get("schedule_kind")
        for name, kinds in KINDS_OF.items():
            if kind not in kinds:
                self.errors.pop(name, None)  # a field that this kind ignores
        if kind == Mailing.Kind.MANUAL:
            self.asked_in_vain = bool(values.get("enabled"))
            values["enabled"] = False
        if kind and not self.errors.keys() & KINDS_OF.keys():
            try:
                self._clean_schedule(values, kind)
            except FieldError as error:
                self.add_error(error.field, error.message)
        return values

    def save(self, commit: bool = True) -> Mailing:
        if self.schedule is not None:
            self.instance.schedule_expression = self.schedule.expression
            self.instance.schedule_anchor = self.schedule.anchor
            self.instance.schedule_end = self.schedule.end
        return super().save(commit)

    def _lock_schedule(self) -> None:
        """Django then keeps what is stored, whatever is posted."""
        locked = {"enabled"}
        if self.instance.enabled:
            locked |= {"schedule_kind", *KINDS_OF}
        for name in locked & self.fields.keys():
            self.fields[name].disabled = True
        self.initial["enabled"] = self.instance.enabled  # not what an address may ask for
        if "enabled" in self.fields:
            self.fields["enabled"].help_text = _(
                "Only people who may send the mailing switch its schedule on or off, and change a"
                " schedule that is on: they have the permission “Can send a mailing now”."
            )

    def _clean_schedule(self, values: dict[str, Any], kind: str) -> None:
        enabled = bool(values.get("enabled"))
        relevant = {name for name, kinds in KINDS_OF.items() if kind in kinds} | {"schedule_kind"}
        changed = relevant & set(self.changed_data)
        if self.instance.pk is None:
            changed = relevant
        self.schedule_changed = bool(changed) or enabled != self.initial.get("enabled", False)
        if changed:
            self.schedule = build_schedule(values, before=self.before, changed=changed)
        # A moment that is over is nothing to wait for; an ended schedule may be kept, switched off.
        ahead = enabled or (bool(changed) and kind == Mailing.Kind.ONCE)
        if changed or (enabled and self.schedule_changed):
            now = timezone.now() if ahead else None
            check_schedule(self.schedule or self.before, now=now)


def _first_schedule() -> Schedule:
    """What a new mailing's form begins with: the next full hour, here."""
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    return Schedule(Mailing.Kind.MANUAL, "", now + timedelta(hours=1), ZoneInfo(settings.TIME_ZONE))
