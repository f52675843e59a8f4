"""Recipients by the million: COPY, or what comes near it on SQLite."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

COLUMNS = (
    "address", "address_key", "domain", "name", "language", "time_zone", "attributes",
    "created_at", "updated_at",
)  # fmt: skip


def write_recipients(cursor: Any, people: Iterable[tuple[str, str, dict[str, str]]]) -> None:
    """Each by address, name and attributes, in the order given."""
    from django.db import connection

    columns = ", ".join(COLUMNS)
    if connection.vendor == "postgresql":
        with cursor.copy(f"COPY mailer_recipient ({columns}) FROM STDIN") as copy:
            for row in _rows(people):
                copy.write_row(row)
    else:
        values = ", ".join("%s" for _ in COLUMNS)
        sql = f"INSERT INTO mailer_recipient ({columns}) VALUES ({values})"
        cursor.executemany(sql, _rows(people))


def _rows(people: Iterable[tuple[str, str, dict[str, str]]]) -> Iterator[tuple[object, ...]]:
    from django.conf import settings

    from mailer.addresses import Normal, hash_address

    now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
    for address, name, attributes in people:
        domain = address.rpartition("@")[2]
        key = hash_address(Normal(address, domain), key=settings.ADDRESS_KEY)
        yield (
            address, key, domain, name, "en", "Asia/Taipei",
            json.dumps(attributes, ensure_ascii=False), now, now,
        )  # fmt: skip
