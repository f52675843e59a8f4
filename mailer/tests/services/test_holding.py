"""A restored database: what would have gone out again does not, until somebody says so."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command

from mailer.models import Audit, Batch, Run
from mailer.services import control, recovery, ringing
from mailer.services.claiming import claim_batch
from mailer.services.holding import hold_everything
from mailer.services.planning import start_now
from mailer.states import BatchState
from mailer.tests.factories import NOW, make_mailing, make_run

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]
LATER = NOW + timedelta(hours=3)


def test_neither_the_tick_nor_a_worker_finds_anything_to_send() -> None:
    sending = make_run(recipients=3)
    batch = Batch.objects.get(run=sending)  # in a worker's hands when the backup was made
    assert claim_batch(batch.pk, task_id="t", worker="w", now=NOW)
    to_come = start_now(
        make_mailing(recipients=3), moment=NOW, trigger=Run.Trigger.STAFF, by=None, now=NOW
    )
    every_hour = {"enabled": True, "schedule_kind": "every", "schedule_expression": "1 hours"}
    due = make_mailing(recipients=3, schedule_anchor=NOW - timedelta(minutes=30), **every_hour)
    assert due.next_due_at is not None
    assert due.next_due_at < LATER

    held = hold_everything(now=LATER)
    assert [run.pk for run in held.paused] == [sending.pk]
    assert [run.pk for run in held.cancelled] == [to_come.pk]
    assert [(mailing.pk, at) for mailing, at in held.passed_over] == [
        (due.pk, NOW + timedelta(minutes=30))
    ]
    recovery.tick(now=LATER)
    assert ringing.take_bells(now=LATER, processes=4) == []
    assert not due.runs.exists()
    sending.refresh_from_db(), to_come.refresh_from_db(), due.refresh_from_db()
    assert (sending.state, to_come.state) == ("paused", "cancelled")
    assert sending.reason.startswith("Held after a restore")
    assert Audit.objects.filter(run=sending, action=Audit.Action.HOLD).exists()
    assert to_come.reason.startswith("Cancelled after a restore")
    entry = Audit.objects.get(run=to_come, action=Audit.Action.CANCEL)
    assert (entry.actor, entry.detail) == (None, to_come.reason)
    # What comes due from now on is sent: nobody has sent it yet.
    assert due.next_due_at == NOW + timedelta(hours=3, minutes=30)
    recovery.tick(now=due.next_due_at)
    assert due.runs.count() == 1

    control.resume_run(sending.pk, by=None, now=LATER)
    assert ringing.take_bells(now=LATER, processes=4)
    assert Batch.objects.filter(run=sending, state=BatchState.READY).exists()


def test_again_is_harmless() -> None:
    run = make_run(recipients=3)
    assert hold_everything(now=LATER).paused == [run]
    held = hold_everything(now=LATER)
    assert held.paused_before == [run]
    assert (held.paused, held.cancelled, held.passed_over) == ([], [], [])


def test_the_command_says_what_to_look_at() -> None:
    assert hold() == "Nothing was under way or due.\n"
    run = make_run(recipients=3)
    assert hold() == f"Paused: {run}, 3 to go.\n"
    assert hold() == f"Paused already: {run}, 3 to go.\n"


def hold() -> str:
    output = StringIO()
    call_command("hold_everything", stdout=output)
    return output.getvalue()
