"""What mailer tells the engine room: its tasks in words, what each works on, whose schedule it is.

Every task may be run again by hand: the services behind them find nothing to do the second time.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import PeriodicTask

from admin_ext.registry import ObjectOf, register_schedule_owner, register_task
from mailer.models import BulkAction, Mailing, TestMessage


def _first_argument(label: str) -> ObjectOf:
    def object_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, Any] | None:
        return (label, args[0]) if args else None

    return object_of


def _message_of_test(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, Any] | None:
    test = TestMessage.objects.filter(pk=args[0]).first() if args else None
    return ("mailer.message", test.message_id) if test else None


def _run_of_action(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, Any] | None:
    action = BulkAction.objects.filter(pk=args[0]).first() if args else None
    return ("mailer.run", action.run_id) if action else None


def _owner(task: PeriodicTask) -> Mailing | None:
    return getattr(task, "mailing", None)


register_task("mailer.tick", label=_("Look for what is due"))
register_task("admin_ext.keep_house", label=_("Tidy up old results"))
register_task("mailer.ring", label=_("Tell workers what there is to do"))
register_task(
    "mailer.wake_mailing",
    label=_("Wake a mailing"),
    object_of=_first_argument("mailer.mailing"),
)
register_task(
    "mailer.prepare_run", label=_("Prepare a run"), object_of=_first_argument("mailer.run")
)
register_task(
    "mailer.send_batch", label=_("Send a batch"), object_of=_first_argument("mailer.batch")
)
register_task(
    "mailer.go_on", label=_("Go on with what was asked for many"), object_of=_run_of_action
)
register_task("mailer.send_test", label=_("Send a test"), object_of=_message_of_test)
register_schedule_owner(_owner, relations=("mailing",))
