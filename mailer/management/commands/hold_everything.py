"""`manage.py hold_everything`: after a restore, before anything else is started."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from mailer.services.holding import hold_everything


class Command(BaseCommand):
    help = (
        "After a restore, with everything stopped: pause or cancel the runs under way and let what "
        "is due pass, because it may have been sent since the backup. Says what to look at."
    )

    def handle(self, **_options: Any) -> None:
        held = hold_everything(now=timezone.now())
        for run in held.paused:
            self.stdout.write(f"Paused: {run}, {run.pending + run.deferred:,} to go.")
        for run in held.paused_before:
            self.stdout.write(f"Paused already: {run}, {run.pending + run.deferred:,} to go.")
        for run in held.cancelled:
            self.stdout.write(f"Cancelled: {run}, due {run.slot:%Y-%m-%d %H:%M %Z}; not begun.")
        for mailing, at in held.passed_over:
            when = f"{at:%Y-%m-%d %H:%M %Z}" if at else "before"
            self.stdout.write(f"Not sent by schedule: {mailing}, due {when}.")
        if not (held.paused or held.paused_before or held.cancelled or held.passed_over):
            self.stdout.write("Nothing was under way or due.")
