"""`manage.py import_recipients FILE --list NAME`."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from mailer.exceptions import ImportRefused
from mailer.models import MailingList
from mailer.services.importing import free_slug, import_file, write_rejected


class Command(BaseCommand):
    help = "Import a CSV of recipients into a list (made if there is none of that name)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file",
            type=Path,
            help="CSV in UTF-8 with a header; one column address",
        )
        parser.add_argument("--list", required=True, help="the list's name")

    def handle(self, *, file: Path, list: str, **_options: Any) -> None:  # noqa: A002
        try:
            known = MailingList.objects.filter(name=list).first()
            (known or MailingList(name=list, slug=free_slug(list))).full_clean()
            mailing_list = known or MailingList(name=list, slug=free_slug(list))
            report = import_file(file, mailing_list=mailing_list, now=timezone.now())
        except ImportRefused as error:
            raise CommandError(str(error)) from None
        except ValidationError as error:
            raise CommandError(f"--list: {' '.join(error.messages)}") from None
        self.stdout.write(
            f"{file}: {report.created} created, {report.updated} updated, "
            f"{report.unchanged} unchanged, {len(report.rejected)} rejected"
        )
        if mailing_list.pk is None:
            self.stdout.write(f"There is no good row in it, so no list “{list}” was made.")
        if report.rejected:
            rejected = file.with_name(f"{file.name}.rejected.csv")
            try:
                write_rejected(report, rejected)
            except OSError as error:
                raise CommandError(
                    f"The good rows are in. {rejected} cannot be written: {error.strerror}. "
                    "Make room for it, then import again: nothing is done twice."
                ) from None
            self.stdout.write(f"The rejected rows, with line and reason, are in {rejected}")
