"""`manage.py check_alive worker|beat [--queue NAME]`: a liveness check for containers."""

import socket
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone

from admin_ext.conf import stale_after
from admin_ext.models import Heartbeat, ProcessKind


class Command(BaseCommand):
    help = "Say whether a worker or the scheduler lives on this host; fails when none does."
    requires_system_checks = []  # it is run every half a minute

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=ProcessKind.values)
        parser.add_argument("--queue", help="a worker that takes from this queue")

    def handle(self, *, kind: str, queue: str | None, **_options: Any) -> None:
        host = socket.gethostname()  # in a container it is the container's own
        what = f"{kind} for the queue {queue}" if queue else kind
        try:
            found = Heartbeat.objects.filter(kind=kind, host=host).alive(timezone.now())
            names = [row.name for row in found if not queue or queue in row.queues]
        except DatabaseError as error:
            raise CommandError(f"Nobody knows: the database does not answer. {error}") from error
        if not names:
            seconds = stale_after().total_seconds()
            raise CommandError(f"No {what} on {host} was heard of for {seconds:.0f} s.")
        self.stdout.write(f"Alive: {', '.join(names)}")
