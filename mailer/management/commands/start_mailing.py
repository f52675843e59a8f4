"""`manage.py start_mailing NAME [--wait]`."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from mailer.exceptions import NothingToSend, NotPossible
from mailer.management.names import get_mailing
from mailer.models import Run
from mailer.services.planning import start_now
from mailer.states import RUN_FINAL, RunState
from mailer.tasks import ring_after_commit


class Command(BaseCommand):
    help = "Send a mailing now, as “Send now” does; prints the run's id."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the mailing's name")
        parser.add_argument(
            "--wait", action="store_true", help="until the run ends; fails unless it finishes"
        )

    def handle(self, *, name: str, wait: bool, **_options: Any) -> None:
        mailing, now = get_mailing(name), timezone.now()
        try:
            with transaction.atomic():
                run = start_now(mailing, moment=now, trigger=Run.Trigger.COMMAND, by=None, now=now)
                ring_after_commit()
        except NothingToSend as error:
            raise CommandError(str(error)) from None
        except NotPossible:  # its own words are about the page that somebody else had open
            newest = mailing.runs.order_by("-id").first()
            raise CommandError(
                f"“{mailing}” was started elsewhere at the same time: run {newest and newest.pk}. "
                "Nothing more was sent; to send it once more, run this again."
            ) from None
        self.stdout.write(str(run.pk))
        self.stdout.flush()
        if wait:
            self._wait(run)

    def _wait(self, run: Run) -> None:
        shown = ""
        while run.state not in RUN_FINAL:
            line = f"{run.get_state_display()}: {run.settled:,} of {run.total:,} {run.reason}"
            if line != shown:
                self.stderr.write(line)
                shown = line
            time.sleep(0.5)  # another process does the work; the row is all there is to watch
            run.refresh_from_db()
        if run.state != RunState.FINISHED:
            raise CommandError(f"Run {run.pk}: {run.get_state_display()}. {run.reason}")
