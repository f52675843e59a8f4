"""What a row of a recipient file means, and the import of a whole file."""

import csv
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from mailer.addresses import hash_address, normalize_address
from mailer.models import Consent, MailingList, Recipient, Subscription
from mailer.names import drop_directions
from mailer.states import SubscriptionState

from .csv_rows import RawRow, read_header, read_rows

CHUNK = 2000
FIELDS = ("name", "language", "time_zone")
#: What write_rejected adds; the mended file may be imported with these columns still in it.
ADDED = ("rejected_line", "rejected_reason")


@dataclass(frozen=True, slots=True)
class Row:
    """One row that holds good: an unsaved recipient, and which of its fields the file gives."""

    recipient: Recipient
    given: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    raw: RawRow
    reason: str


@dataclass(slots=True)
class Report:
    """What an import did.

    Every row of the file is one of created, updated, unchanged (what is known of that person) and
    rejected. `added` counts who was put on the list; who unsubscribed from it is not.
    """

    header: list[str]
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    added: int = 0
    rejected: list[Rejected] = field(default_factory=list)


def import_file(path: Path, *, mailing_list: MailingList, now: datetime) -> Report:
    """Import what holds good in a CSV into one list; a new one is saved if anything does.

    Raises ImportRefused before any change.

    A given cell that is not empty replaces what is known. Who unsubscribed stays unsubscribed.
    Written chunk by chunk, so that nobody who sends has to wait for the whole file (SQLite has one
    lock for all); cut short, the same import again does the rest.
    """
    report = Report(header=read_header(path))
    good = list(_good_rows(read_rows(path, header=report.header), report))
    if good and mailing_list.pk is None:
        mailing_list.save()
    rows = iter(good)
    while chunk := list(itertools.islice(rows, CHUNK)):
        with transaction.atomic():
            recipients = _save_recipients(chunk, report)
            report.added += _subscribe(recipients, mailing_list, evidence=path.name, now=now)
    return report


def read_row(cells: Mapping[str, str]) -> Row:
    """Check and normalise one row. Raises ValueError with the reason."""
    if any("\0" in value for value in cells.values()):
        raise ValueError(_("a cell holds a NUL byte"))
    normal = normalize_address(cells["address"])
    given = {name: value.strip() for name, value in cells.items() if name != "address"}
    if "name" in given:
        given["name"] = drop_directions(given["name"])
    recipient = Recipient(
        address=normal.address,
        address_key=hash_address(normal, key=settings.ADDRESS_KEY),
        domain=normal.domain,
        attributes={
            name: value for name, value in given.items() if name not in (*FIELDS, *ADDED) and value
        },
        **{name: given[name] for name in FIELDS if name in given},
    )
    try:
        recipient.clean_fields()
    except ValidationError as error:
        name, words = next(iter(error.message_dict.items()))
        raise ValueError(f"{name}: {words[0]}") from None
    return Row(recipient, tuple(name for name in FIELDS if given.get(name)))


def write_rejected(report: Report, path: Path) -> None:
    """The rejected rows as a CSV that can be mended and imported: their cells, line and reason.

    Cells beyond the header's come last, below no name.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        kept = [index for index, name in enumerate(report.header) if name not in ADDED]
        writer.writerow([*(report.header[index] for index in kept), *ADDED])
        for rejected in report.rejected:
            cells, beyond = rejected.raw.cells, rejected.raw.cells[len(report.header) :]
            mine = [cells[index] for index in kept]
            writer.writerow([*mine, rejected.raw.line, rejected.reason, *beyond])


def _good_rows(raws: Iterable[RawRow], report: Report) -> Iterator[Row]:
    first_lines: dict[bytes, int] = {}
    for raw in raws:
        try:
            if raw.problem:
                raise ValueError(raw.problem)
            row = read_row(dict(zip(report.header, raw.cells, strict=True)))
            if first := first_lines.get(bytes(row.recipient.address_key)):
                raise ValueError(_("the same address stands in line %(line)s") % {"line": first})
        except ValueError as error:
            report.rejected.append(Rejected(raw, str(error)))
            continue
        first_lines[bytes(row.recipient.address_key)] = raw.line
        yield row


def _save_recipients(chunk: list[Row], report: Report) -> list[Recipient]:
    known = {
        bytes(recipient.address_key): recipient
        for recipient in Recipient.objects.filter(
            address_key__in=[row.recipient.address_key for row in chunk]
        )
    }
    created, updated, all_of_them = [], [], []
    for row in chunk:
        recipient = known.get(bytes(row.recipient.address_key))
        if recipient is None:
            created.append(row.recipient)
        elif _update(recipient, row):
            updated.append(recipient)
        else:
            report.unchanged += 1
        all_of_them.append(recipient or row.recipient)
    Recipient.objects.bulk_create(created)
    Recipient.objects.bulk_update(updated, [*FIELDS, "attributes"], batch_size=200)
    report.created += len(created)
    report.updated += len(updated)
    return all_of_them


def _update(recipient: Recipient, row: Row) -> bool:
    """Take over what the row gives; whether that changed anything."""
    new: dict[str, object] = {name: getattr(row.recipient, name) for name in row.given}
    new["attributes"] = recipient.attributes | row.recipient.attributes
    changed = any(getattr(recipient, name) != value for name, value in new.items())
    for name, value in new.items():
        setattr(recipient, name, value)
    return changed


def _subscribe(
    recipients: list[Recipient], mailing_list: MailingList, *, evidence: str, now: datetime
) -> int:
    """Put on the list who was never on it, each with a consent record; touch nobody else.

    Returns how many that are.
    """
    there = set(
        Subscription.objects.filter(list=mailing_list, recipient__in=recipients).values_list(
            "recipient_id", flat=True
        )
    )
    fresh = Subscription.objects.bulk_create(
        Subscription(list=mailing_list, recipient=recipient)
        for recipient in recipients
        if recipient.pk not in there
    )
    Consent.objects.bulk_create(
        Consent(
            subscription=subscription,
            state=SubscriptionState.SUBSCRIBED,
            source=Consent.Source.IMPORT,
            evidence=evidence[:300],
            recorded_at=now,
        )
        for subscription in fresh
    )
    return len(fresh)
