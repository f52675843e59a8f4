"""What people are looked for by among a million has an index."""

from typing import Any

from django.db import DatabaseError, migrations, models, transaction

EXTENSION = "pg_trgm"
TRIGRAMS = """
CREATE INDEX mailer_recipient_search ON mailer_recipient
    USING gin (lower(address || ' ' || name) gin_trgm_ops)"""
# The words stay where they are; the table holds their trigrams alone. A migration that makes
# mailer_recipient anew, as Django does on SQLite to change a column, has to make the triggers anew.
TABLE = """
CREATE VIRTUAL TABLE mailer_recipient_search USING fts5(
    address, name, content='mailer_recipient', content_rowid='id', tokenize='trigram', columnsize=0
)"""
FILL = "INSERT INTO mailer_recipient_search (mailer_recipient_search) VALUES ('rebuild')"
ADD = "INSERT INTO mailer_recipient_search (rowid, address, name) VALUES (new.id, new.address, new.name);"
TAKE_OUT = """INSERT INTO mailer_recipient_search (mailer_recipient_search, rowid, address, name)
    VALUES ('delete', old.id, old.address, old.name);"""
TRIGGERS = {
    "added": f"AFTER INSERT ON mailer_recipient BEGIN {ADD} END",
    "deleted": f"AFTER DELETE ON mailer_recipient BEGIN {TAKE_OUT} END",
    "changed": f"AFTER UPDATE OF address, name ON mailer_recipient BEGIN {TAKE_OUT} {ADD} END",
}
WARNING = """
  The search for people looks at the beginning of their addresses only: {error}
  How to make the index later: docs/operations.md, "Searching for people".
"""


def make_search(_apps: Any, schema_editor: Any) -> None:
    """Without its index, the search finds less; that stops no upgrade."""
    statements = [
        TABLE,
        FILL,
        *(f"CREATE TRIGGER mailer_recipient_{n} {t}" for n, t in TRIGGERS.items()),
    ]
    if schema_editor.connection.vendor == "postgresql":
        statements = [f"CREATE EXTENSION IF NOT EXISTS {EXTENSION}", TRIGRAMS]
    try:
        with transaction.atomic(schema_editor.connection.alias):
            for statement in statements:
                schema_editor.execute(statement)
    except DatabaseError as error:
        print(WARNING.format(error=str(error).strip()))


def drop_search(_apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX IF EXISTS mailer_recipient_search")
        return
    for name in TRIGGERS:
        schema_editor.execute(f"DROP TRIGGER IF EXISTS mailer_recipient_{name}")
    schema_editor.execute("DROP TABLE IF EXISTS mailer_recipient_search")


class Migration(migrations.Migration):
    dependencies = [
        ("mailer", "0009_audit_sent"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="subscription",
            index=models.Index(fields=["list", "state", "recipient"], name="subscription_of_list"),
        ),
        migrations.AddIndex(
            model_name="suppression",
            index=models.Index(fields=["reason", "id"], name="suppression_by_reason"),
        ),
        migrations.AddIndex(
            model_name="recipient",
            index=models.Index(fields=["domain"], name="recipient_domain"),
        ),
        migrations.RunPython(make_search, drop_search),
    ]
