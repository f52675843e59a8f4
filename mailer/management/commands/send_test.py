"""`manage.py send_test MESSAGE ADDRESS [--relay NAME]`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from admin_ext.components.outcome import ActionRefused
from mailer.exceptions import NotPossible
from mailer.management.names import get_relay
from mailer.models import Message
from mailer.services.testing import request_test
from mailer.tasks import publish_test


class Command(BaseCommand):
    help = "Send a message to one address as a test: a task of its own, never counted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("message", help="the message's name")
        parser.add_argument("address")
        parser.add_argument(
            "--relay", help="the relay's name; default: that of a mailing with this message"
        )

    def handle(
        self, *, message: str, address: str, relay: str | None = None, **_options: Any
    ) -> None:
        through = get_relay(relay) if relay else None
        try:
            found = Message.objects.get(name=message)
            test = request_test(found, address, relay=through, by=None, now=timezone.now())
            publish_test(test)
        except Message.DoesNotExist:
            raise CommandError(f"There is no message “{message}”.") from None
        except (NotPossible, ActionRefused) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(test.task_id)
