"""Old rows go in pieces; wrong settings stop the start."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_celery_results.models import TaskResult

from admin_ext.checks import check_settings
from admin_ext.housekeeping import purge_results
from admin_ext.models import TaskAttempt
from admin_ext.tasks import keep_house_task


@pytest.mark.django_db
@pytest.mark.database
def test_what_is_too_old_goes_and_the_rest_stays(settings: Any) -> None:
    settings.ADMIN_EXT_KEEP_DAYS = 10
    now = timezone.now()
    for number, days in enumerate((1, 9, 11, 12)):
        when = now - timedelta(days=days)
        result = TaskResult.objects.create(task_id=str(number))
        TaskResult.objects.filter(pk=result.pk).update(date_done=when)
        TaskAttempt.objects.create(
            task_id=str(number), retries=0, name="t", state="succeeded", started_at=when
        )
    keep_house_task()
    assert set(TaskResult.objects.values_list("task_id", flat=True)) == {"0", "1"}
    assert set(TaskAttempt.objects.values_list("task_id", flat=True)) == {"0", "1"}


@pytest.mark.django_db
@pytest.mark.database
def test_in_pieces() -> None:
    for number in range(5):
        TaskResult.objects.create(task_id=str(number))
    later = timezone.now() + timedelta(days=1)
    assert [purge_results(later, limit=2) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.parametrize("value", [0, -1, "5"])
def test_wrong_settings_stop_the_start(settings: Any, value: Any) -> None:
    settings.ADMIN_EXT_BEAT_LEASE_SECONDS = value
    assert [error.id for error in check_settings(None)] == ["admin_ext.E001"]
