"""`manage.py next_sends NAME [--count N]`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from mailer.management.names import get_mailing
from mailer.services.expressions import ScheduleError
from mailer.services.schedule_words import describe_schedule
from mailer.services.scheduling import schedule_of
from mailer.services.slots import next_slots


class Command(BaseCommand):
    help = "Say when a mailing goes out next, in its own time zone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the mailing's name")
        parser.add_argument("--count", type=int, default=10, help="how many (10)")

    def handle(self, *, name: str, count: int, **_options: Any) -> None:
        if count < 1:
            raise CommandError("--count must be 1 or more.")
        mailing = get_mailing(name)
        schedule = schedule_of(mailing)
        try:
            slots = next_slots(schedule, now=timezone.now(), count=count)
        except ScheduleError as error:
            raise CommandError(str(error)) from None
        self.stderr.write(f"{describe_schedule(schedule)}{'' if mailing.enabled else ' (off)'}")
        for slot in slots:
            local = slot.at.astimezone(schedule.zone)
            gap = f"  {slot.local:%H:%M} does not exist on that day" if slot.in_gap else ""
            self.stdout.write(f"{local:%a %Y-%m-%d %H:%M %Z}  {slot.at:%Y-%m-%dT%H:%MZ}{gap}")
