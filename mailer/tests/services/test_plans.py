"""How SQLite answers what is asked for every window; PostgreSQL chooses by its statistics."""

import pytest
from django.db import connection

from mailer.services.results import RECORD
from mailer.services.windows import window_sql

pytestmark = pytest.mark.django_db


def plan(sql: str, parameters: list[object]) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
        return "\n".join(row[3] for row in cursor.fetchall())


def test_outcomes_find_their_rows_by_index() -> None:
    steps = plan(RECORD["sqlite"], ['[{"seq": 1}]', 1])
    assert "SEARCH d USING INDEX" in steps
    assert "(run_id=? AND seq=?)" in steps


def test_a_window_reads_its_own_rows_alone() -> None:
    sql, parameters = window_sql(single=False)
    steps = plan(sql, list(parameters))
    assert "(run_id=? AND seq>? AND seq<?)" in steps
    assert "subscription_of_list (list_id=? AND state=? AND recipient_id=?)" in steps
    assert "(address_key=?)" in steps
    assert "SCAN" not in steps


def test_a_window_of_a_single_message_reads_its_own_row_alone() -> None:
    sql, parameters = window_sql(single=True)
    steps = plan(sql, list(parameters))
    assert "(run_id=? AND seq>? AND seq<?)" in steps
    assert "(address_key=?)" in steps
    assert "SCAN" not in steps
