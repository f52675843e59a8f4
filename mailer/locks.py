"""Locks of the whole site, held until the transaction around them ends.

On PostgreSQL; SQLite's transactions are one at a time anyway.
"""

from enum import IntEnum

from django.db import connection


class Lock(IntEnum):
    """Any numbers that nothing else on this database locks; "mail" is how they begin."""

    RINGING = 0x6D61696C01
    #: Shared by those who make deliveries, held alone by those who delete recipients.
    EXPANDING = 0x6D61696C02


def wait_for(lock: Lock, *, shared: bool = False) -> None:
    """Take it, in a transaction; with others who share it too, or alone."""
    if connection.vendor == "postgresql":
        function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {function}(%s)", [lock.value])
