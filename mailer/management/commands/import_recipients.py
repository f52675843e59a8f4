"""`manage.py import_recipients FILE --list NAME`."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from mailer.exceptions import ImportRefused
from mailer.models import MailingList
from mailer.services.importing import Report, import_file, write_rejected
from mailer.services.lists import list_called


class Command(BaseCommand):
    help = "Import a CSV of recipients into a list (made if there is none of that name)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file",
            type=Path,
            help="CSV in UTF-8 with a header; one column address",
        )
        parser.add_argument("--list", required=True, help="the list's name, in any capitals")

    def handle(self, *, file: Path, list: str, **_options: Any) -> None:  # noqa: A002
        try:
            mailing_list = list_called(list)
            is_new = mailing_list.pk is None
            report = import_file(file, mailing_list=mailing_list, now=timezone.now())
        except ImportRefused as error:
            raise CommandError(str(error)) from None
        except ValidationError as error:
            raise CommandError(f"--list: {' '.join(error.messages)}") from None
        self.stdout.write(
            f"{file}: {report.created} created, {report.updated} updated, "
            f"{report.unchanged} unchanged, {len(report.rejected)} rejected"
        )
        self.stdout.write(_about_the_list(mailing_list, report, is_new=is_new))
        self._keep_rejected(report, file.with_name(f"{file.name}.rejected.csv"))

    def _keep_rejected(self, report: Report, path: Path) -> None:
        """Write the rejected rows; without any, an earlier import's are mended: remove them."""
        try:
            if report.rejected:
                write_rejected(report, path)
                self.stdout.write(f"The rejected rows, with line and reason, are in {path}")
            elif path.exists():
                path.unlink()
                self.stdout.write(f"Nothing was rejected this time, so {path} was removed.")
        except OSError as error:
            raise CommandError(
                f"The good rows are in. {path} cannot be written: {error.strerror}. "
                "Make room for it, then import again: nothing is done twice."
            ) from None


def _about_the_list(mailing_list: MailingList, report: Report, *, is_new: bool) -> str:
    if mailing_list.pk is None:
        return f"There is no good row in it, so no list “{mailing_list}” was made."
    made = " It is new: there was no list of that name." if is_new else ""
    return f"{report.added} added to the list “{mailing_list}”.{made}"
