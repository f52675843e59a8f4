"""Doing something to selected deliveries, which may be of several runs, one run after the other."""

from collections.abc import Callable

from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import ngettext

from admin_ext.components.numbers import format_number
from admin_ext.components.outcome import ActionDone
from mailer.exceptions import NotPossible
from mailer.models import BulkAction, Delivery, Run
from mailer.tasks import ring_after_commit

from .bulk_words import done_in_words


def runs_of(deliveries: QuerySet[Delivery]) -> QuerySet[Run]:
    return Run.objects.filter(pk__in=deliveries.order_by().values("run"))


def of_runs_in_words(deliveries: QuerySet[Delivery]) -> str:
    runs = runs_of(deliveries).count()
    return ngettext("All of one run.", "Of %(n)s runs.", runs) % {"n": format_number(runs)}


def run_by_run(
    deliveries: QuerySet[Delivery], act: Callable[[int], BulkAction], *, say: Callable[[int], str]
) -> ActionDone:
    """Each run by itself: one in which it is not possible keeps none of the others back."""
    done: list[BulkAction] = []
    refused = []
    for run_id in list(runs_of(deliveries).order_by("pk").values_list("pk", flat=True)):
        try:
            with transaction.atomic():
                done.append(act(run_id))
                ring_after_commit()
        except NotPossible as refusal:
            refused.append(str(refusal))
    return ActionDone(
        " ".join([done_in_words(done, say=say), *refused]),
        level=messages.WARNING if refused else messages.SUCCESS,
    )
