"""The "Run now" of a periodic task."""

from datetime import datetime

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_beat.models import PeriodicTask

from admin_ext.components.object_actions import ObjectAction
from admin_ext.registry import find_owner, task_label
from admin_ext.schedules import run_periodic_task


def _run(request: HttpRequest, task: PeriodicTask, moment: datetime) -> str:
    task_id = run_periodic_task(task, by=request.user, now=timezone.now())
    return _("It was sent as task %(id)s.") % {"id": task_id}


RUN_NOW = ObjectAction(
    name="run_now",
    label=gettext_lazy("Run now"),
    permission="admin_ext.run_periodic_task",
    question=lambda task: (
        _(
            "“%(task)s” is sent to the queue now, once, as the schedule would send it. "
            "The next time by schedule stays as it is."
        )
        % {"task": task_label(task.task)}
    ),
    run=_run,
    # An owned one is run from its owner's page, where one sees what that does.
    available=lambda task: find_owner(task) is None,
    why_not=lambda task: _("It belongs to “%(owner)s”.") % {"owner": find_owner(task)},
)
