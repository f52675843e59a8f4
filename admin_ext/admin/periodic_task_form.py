"""The form of a periodic task, without the combination that fires when nobody means it."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_beat.admin import PeriodicTaskForm as StockForm
from django_celery_beat.admin import TaskChoiceField

SCHEDULE_FIELDS = ("interval", "crontab", "solar", "clocked", "start_time", "one_off")


class PeriodicTaskForm(StockForm):  # type: ignore[misc]
    regtask = TaskChoiceField(
        label=gettext_lazy("Task"), required=False, help_text=gettext_lazy("What runs.")
    )
    task = forms.CharField(
        label=gettext_lazy("Or its name"),
        required=False,
        max_length=200,
        help_text=gettext_lazy("Of a task that is not in the list above."),
    )

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean()
        if data.get("crontab") and data.get("start_time"):
            # Measured: beat fires such a one at once, at a time that is not on the crontab.
            refusal = _("A crontab cannot have a start; switch it on when it is to start.")
            raise ValidationError({"start_time": refusal})
        return data
