"""Deliveries as CSV, row by row: a million of them take no more memory than ten."""

import csv
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from mailer.engine.frame import message_id
from mailer.models import Delivery

CHUNK = 2000
#: What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class _Line:
    """What csv.writer writes to: it hands each line back."""

    def write(self, line: str) -> str:
        return line


def export_deliveries(deliveries: QuerySet[Delivery]) -> Iterator[str]:
    """The lines of a CSV file, its header first: RFC 4180, times in UTC by ISO 8601."""
    writer = csv.writer(_Line())
    yield writer.writerow(
        [
            _("address"), _("state"), _("attempts"), _("reply code"), _("enhanced status"),
            _("reply"), _("why"), _("last outcome"), _("next try"), _("run"), _("mailing"),
            "Message-ID",
        ]
    )  # fmt: skip
    rows = deliveries.select_related("run__mailing").defer("variables", "address_key")
    for delivery in rows.iterator(chunk_size=CHUNK):
        yield writer.writerow(_without_formulas(_row(delivery)))


def _row(delivery: Delivery) -> Iterable[object]:
    return (
        delivery.address,
        delivery.get_state_display(),
        delivery.attempts,
        delivery.code or "",
        delivery.enhanced_status,
        delivery.reply,
        delivery.problem or "",
        _iso(delivery.settled_at),
        _iso(delivery.retry_at),
        delivery.run_id,
        delivery.run.mailing.name,
        message_id(delivery.uuid, settings.MAIL_DOMAIN),
    )


def _without_formulas(row: Iterable[object]) -> list[str]:
    """A cell that a spreadsheet would run, by whoever wrote a reply or a name, is text."""
    cells = [str(cell) for cell in row]
    return [f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells]


def _iso(moment: datetime | None) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else ""
