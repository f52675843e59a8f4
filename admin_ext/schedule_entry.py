"""One periodic task in beat's memory, and how its firing is claimed in the database."""

from datetime import datetime
from typing import Any

from celery.schedules import schedstate
from django.db.models import F
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry
from django_celery_beat.utils import NEVER_CHECK_TIMEOUT


class ScheduleEntry(ModelEntry):  # type: ignore[misc]
    """A periodic task as it was read, with the `last_run_at` that a firing is claimed by."""

    def __init__(self, model: PeriodicTask, app: Any = None) -> None:
        # The parent puts a made-up time into the model when the column is empty.
        self.stored_last_run_at: datetime | None = model.last_run_at
        super().__init__(model, app=app)

    def is_due(self) -> Any:
        if self.model.enabled and self.has_been():
            self._switch_off(total_run_count=0)
            return schedstate(False, NEVER_CHECK_TIMEOUT)
        return super().is_due()

    def has_been(self) -> bool:
        """A one-off that was fired, or whose time was over when it was switched on again."""
        if not self.model.one_off:
            return False
        at, last = getattr(self.schedule, "clocked_time", None), self.stored_last_run_at
        return self.model.total_run_count > 0 or (
            at is not None and last is not None and last >= at
        )

    def claim(self, now: datetime) -> "ScheduleEntry | None":
        """Write the firing; None when somebody else fired it, or switched it off, since."""
        changes: dict[str, Any] = {"last_run_at": now}
        if self.model.one_off:
            # Off in the same breath, and knowing when: switched on again, it does not fire at once.
            changes |= {"enabled": False, "total_run_count": 0}
        else:
            changes["total_run_count"] = F("total_run_count") + 1
        row = PeriodicTask.objects.filter(
            pk=self.model.pk, enabled=True, last_run_at=self.stored_last_run_at
        )
        if not row.update(**changes):
            return None
        self.model.last_run_at = now
        self.model.enabled = not self.model.one_off
        return type(self)(self.model, app=self.app)

    def _disable(self, model: PeriodicTask) -> None:
        # The parent saves the whole row from memory, and forgets last_run_at.
        self._switch_off()

    def _switch_off(self, **changes: Any) -> None:
        PeriodicTask.objects.filter(pk=self.model.pk).update(enabled=False, **changes)
        self.model.enabled = False
