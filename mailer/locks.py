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


def share_if_free(lock: Lock) -> bool:
    """Take it with others who share it, in a transaction; False when somebody has it, or waits for
    it, alone."""
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock_shared(%s)", [lock.value])
        return bool(cursor.fetchone()[0])


def wait_for(lock: Lock, *, shared: bool = False) -> None:
    """Take it, in a transaction; with others who share it too, or alone."""
    if connection.vendor == "postgresql":
        function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {function}(%s)", [lock.value])
