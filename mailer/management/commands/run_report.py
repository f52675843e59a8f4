"""`manage.py run_report RUN [--json]`."""

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mailer.models import Run
from mailer.services.left_out import left_out_in_words
from mailer.services.reporting import report_run
from mailer.states import DeliveryState, RunState


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
        for line in in_lines(report):
            self.stdout.write(line)


def in_lines(report: dict[str, Any]) -> Iterator[str]:
    """The report for people: a line each, what is empty left out."""
    states = {DeliveryState(state).label.lower(): n for state, n in report["by_state"].items()}
    said = report | {
        "state": RunState(report["state"]).label.lower(),
        "by_state": ", ".join(f"{count:,} {label}" for label, count in states.items() if count),
        "left_out": left_out_in_words(report["left_out"]),
        "failures": "",
    }
    for name, value in said.items():
        if value != "" and value is not None:
            yield f"{name.replace('_', ' ')}: {value}"
    for group in report["failures"]:
        label = DeliveryState(group["state"]).label.lower()
        yield f"{group['count']:,} {label}, {group['problem']}: {group['meaning']}"
        if group["reply"]:
            yield f"    {group['reply']}"
