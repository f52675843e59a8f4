"""What a project tells the admin about its tasks and schedules, from an AppConfig.ready().

Without it everything still shows: by the task's own name, without a link, without "Run again".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django_celery_beat.models import PeriodicTask
from django_stubs_ext import StrOrPromise

from .models import TaskAttempt
from .publishing import send_again

ObjectOf = Callable[[Sequence[Any], Mapping[str, Any]], tuple[str, Any] | None]
Retry = Callable[[TaskAttempt, Any], str]
OwnerOf = Callable[[PeriodicTask], Any]


@dataclass(frozen=True, slots=True)
class RegisteredTask:
    name: str
    label: StrOrPromise
    object_of: ObjectOf | None
    retry: Retry | None
    idempotent: bool


_tasks: dict[str, RegisteredTask] = {}
_owners: list[OwnerOf] = []
_owner_relations: list[str] = []


def register_task(
    name: str,
    *,
    label: StrOrPromise,
    object_of: ObjectOf | None = None,
    retry: Retry | None = send_again,
    idempotent: bool = True,
) -> None:
    """Name a task, what it works on, and how to run it again::

        register_task(
            "mailer.send_batch",
            label=_("Send a batch"),
            object_of=lambda args, kwargs: ("mailer.batch", args[0]),
        )

    `object_of` gives a model's label and a key. `retry` gets the attempt and the user, and gives
    the new task's id; by default the same is sent again, so the task must be idempotent; None says
    that this task is never run again by hand. `idempotent=False`, for a `retry` that may do things
    twice, takes the promise out of the question that staff are asked.
    """
    _tasks[name] = RegisteredTask(name, label, object_of, retry, idempotent)


def register_schedule_owner(owner_of: OwnerOf, *, relations: Iterable[str] = ()) -> None:
    """Tell which object a periodic task belongs to (None: to nobody).

    An owned one is changed at its owner's page. `relations` are for select_related(), so that a
    list of periodic tasks does not query for each owner.
    """
    _owners.append(owner_of)
    _owner_relations.extend(relations)


def registered_tasks() -> list[RegisteredTask]:
    """By their labels."""
    return sorted(_tasks.values(), key=lambda task: str(task.label))


def find_task(name: str) -> RegisteredTask | None:
    return _tasks.get(name)


def task_label(name: str | None) -> StrOrPromise:
    """What staff read: the registered label, else the name itself."""
    found = _tasks.get(name or "")
    return found.label if found else name or "—"


def find_object(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, str]:
    """The label and key of what a task works on; two empty strings when nobody knows."""
    found = _tasks.get(name)
    target = found.object_of(args, kwargs) if found and found.object_of else None
    return (target[0].lower(), str(target[1])) if target else ("", "")


def find_owner(periodic_task: PeriodicTask) -> Any:
    """The object that a periodic task belongs to, or None."""
    return next((owner for of in _owners if (owner := of(periodic_task)) is not None), None)


def owner_relations() -> list[str]:
    return list(_owner_relations)
