"""One start of one task: a retried task has several, its TaskResult only the last."""

from datetime import timedelta
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _
from kombu.utils.json import loads


class AttemptState(models.TextChoices):
    RUNNING = "running", _("Running")  # or its worker died and nobody looked yet
    SUCCEEDED = "succeeded", _("Succeeded")
    RETRIED = "retried", _("Retried")  # it asked for another attempt, which comes by itself
    FAILED = "failed", _("Failed")
    # Its worker died or fell silent. Not final: a worker that was only frozen may still finish it.
    LOST = "lost", _("Lost")


class TaskAttemptQuerySet(models.QuerySet["TaskAttempt"]):
    def running(self) -> "TaskAttemptQuerySet":
        return self.filter(state=AttemptState.RUNNING)

    def of_task(self, task_id: str) -> "TaskAttemptQuerySet":
        """In the order in which they were made."""
        return self.filter(task_id=task_id).order_by("retries")

    def of_object(self, label: str, pk: Any) -> "TaskAttemptQuerySet":
        """What was done for an object, newest first."""
        return self.filter(object_label=label.lower(), object_pk=str(pk)).order_by("-started_at")

    def latest_by_task(self, task_ids: list[str]) -> dict[str, "TaskAttempt"]:
        """The last attempt of each task, without what is long; one query."""
        attempts = self.filter(task_id__in=task_ids).defer("args", "kwargs", "traceback")
        return {attempt.task_id: attempt for attempt in attempts.order_by("retries")}


class TaskAttempt(models.Model):
    task_id = models.CharField(_("task id"), max_length=255)
    retries = models.PositiveIntegerField(_("retries before it"))
    # Above 1: the message came again after a worker died with it.
    starts = models.PositiveIntegerField(_("starts"), default=1)
    name = models.CharField(_("task"), max_length=255)
    # Celery's own JSON as text, whole: what a retry sends again. Null when it is not JSON.
    args = models.TextField(_("arguments"), null=True)  # noqa: DJ001
    kwargs = models.TextField(_("named arguments"), null=True)  # noqa: DJ001
    queue = models.CharField(_("queue"), max_length=255, blank=True)
    worker = models.CharField(_("worker"), max_length=255, blank=True)
    state = models.CharField(
        _("state"), max_length=16, choices=AttemptState.choices, default=AttemptState.RUNNING
    )
    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    error = models.CharField(_("error"), max_length=500, blank=True)
    traceback = models.TextField(_("traceback"), blank=True)
    # What it worked on, as the registry says: "mailer.run" and its key.
    object_label = models.CharField(_("object's model"), max_length=200, blank=True)
    object_pk = models.CharField(_("object's key"), max_length=64, blank=True)
    # The task that this one repeats, and the one that repeats this.
    retry_of = models.CharField(_("repeats task"), max_length=255, blank=True)
    retried_as = models.CharField(_("repeated as task"), max_length=255, blank=True)
    retried_at = models.DateTimeField(_("repeated"), null=True, blank=True)

    objects = TaskAttemptQuerySet.as_manager()

    class Meta:
        verbose_name = _("task attempt")
        verbose_name_plural = _("task attempts")
        default_permissions = ("view",)
        permissions = [
            ("retry_task", _("Can run a task again")),
            ("run_periodic_task", _("Can run a periodic task now")),
        ]
        constraints = [
            # Signals come late, twice and from two processes: they meet in one row.
            models.UniqueConstraint(
                fields=["task_id", "retries"], name="one_attempt_per_task_and_retry"
            ),
        ]
        indexes = [
            # close_orphans: what is said to run.
            models.Index(
                fields=["worker"],
                condition=models.Q(state="running"),
                name="attempt_running_by_worker",
            ),
            # of_object: what was done for this run, this import.
            models.Index(
                fields=["object_label", "object_pk", "started_at"],
                condition=~models.Q(object_label=""),
                name="attempt_by_object",
            ),
            # purge_attempts: the oldest.
            models.Index(fields=["started_at"], name="attempt_by_start"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.task_id} #{self.retries}"

    @property
    def duration(self) -> timedelta | None:
        return self.finished_at - self.started_at if self.finished_at else None

    def arguments(self) -> tuple[list[Any], dict[str, Any]] | None:
        """What the task was called with, as Celery gave it; None when it could not be kept."""
        if self.args is None or self.kwargs is None:
            return None
        return loads(self.args), loads(self.kwargs)
