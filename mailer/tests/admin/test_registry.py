"""What the engine room is told of mailer's tasks and schedules."""

import pytest
from django_celery_beat.models import PeriodicTask

from admin_ext.registry import find_object, find_owner, find_task
from mailer.models import TestMessage
from mailer.tests import factories

from .conftest import World

pytestmark = pytest.mark.database


@pytest.mark.parametrize(
    ("task", "label"),
    [
        ("mailer.send_batch", "mailer.batch"),
        ("mailer.prepare_run", "mailer.run"),
        ("mailer.wake_mailing", "mailer.mailing"),
    ],
)
def test_a_task_names_what_it_works_on(task: str, label: str) -> None:
    assert find_object(task, [7, "x@a.example"], {}) == (label, "7")
    assert find_object(task, [], {}) == ("", "")
    found = find_task(task)
    assert found is not None
    assert found.retry is not None


def test_a_test_works_on_its_message(world: World) -> None:
    test = TestMessage.objects.create(message=world.message, requested_at=factories.NOW)
    assert find_object("mailer.send_test", [test.pk], {}) == (
        "mailer.message",
        str(world.message.pk),
    )
    assert find_object("mailer.send_test", [test.pk + 1], {}) == ("", "")
    assert find_object("mailer.send_test", [], {}) == ("", "")


def test_a_wake_up_belongs_to_its_mailing(world: World) -> None:
    task = PeriodicTask.objects.get(task="mailer.wake_mailing")
    assert find_owner(task) == world.mailing
    assert find_owner(PeriodicTask(name="free")) is None
