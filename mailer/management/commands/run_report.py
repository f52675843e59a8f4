"""`manage.py run_report RUN --json`."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mailer.models import Run
from mailer.services.reporting import report_run


class Command(BaseCommand):
    help = "Say what became of a run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int, help="the run's id")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *, run: int, **options: Any) -> None:
        try:
            report = report_run(Run.objects.select_related("mailing").get(pk=run))
        except Run.DoesNotExist:
            raise CommandError(f"There is no run {run}.") from None
        if options["json"]:
            self.stdout.write(json.dumps(report, ensure_ascii=False, indent=2))
            return
        for name, value in report.items():
            self.stdout.write(f"{name}: {value}")
