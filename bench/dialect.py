"""What the two databases say differently, for rows that they make themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


class Dialect:
    """Expressions of SQL; `now` is one moment for all of them."""

    def __init__(self, cursor: Any, vendor: str) -> None:
        self._cursor = cursor
        self._postgres = vendor == "postgresql"
        self._now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)

    def do(self, sql: str) -> None:
        self._cursor.execute(sql)

    def series(self, count: int) -> str:
        """A table s of the numbers n from 1 to this."""
        if self._postgres:
            return f"generate_series(1, {count}) AS s(n)"
        return (
            "(WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t"
            f" WHERE n < {count}) SELECT n FROM t) AS s"
        )

    def ago(self, seconds: object) -> str:
        """The moment so many seconds ago; `seconds` may be an expression."""
        if self._postgres:
            return f"(timestamptz '{self._now}+00' - ({seconds}) * interval '1 second')"
        return f"datetime('{self._now}', (-({seconds})) || ' seconds')"

    def uuid(self, run: object, recipient: object) -> str:
        """As a delivery's begins (see Delivery.uuid), without what is random in it."""
        if self._postgres:
            return (
                f"(lpad(to_hex(({run})::bigint), 10, '0') ||"
                f" lpad(to_hex(({recipient})::bigint), 10, '0') || '000000000000')::uuid"
            )
        return f"printf('%010x%010x000000000000', {run}, {recipient})"

    def json(self, text: str) -> str:
        return f"'{text}'::jsonb" if self._postgres else f"'{text}'"

    def octets(self, number: str) -> str:
        """32 octets that no other number has."""
        return f"sha256(({number})::text::bytea)" if self._postgres else "randomblob(32)"
