"""Run in a site's environment, which must be empty: tables as they are after years. Prints nothing.

People on lists, suppressions, runs in every state, and what the engine room, the audit and the
history keep. `python -m bench.big_tables PEOPLE full`: each of the five runs goes to everybody;
without "full" four go to a tenth. The database makes its rows itself, but for recipients, whose
address has a key.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

import django

from bench.big_runs import fill_run, fill_singles, make_mailings
from bench.dialect import Dialect
from bench.recipients import write_recipients

FIRST_NAMES = (
    "Anna", "Bertil", "Chiara", "Dmitri", "Elif", "François", "Grace", "Hiroshi", "Ingrid", "João",
    "Katarzyna", "Liam", "Mei", "Noura", "Óscar", "Priya", "Quentin", "Rosa", "Søren", "Tomáš",
    "Uma", "Viktor", "Wanjiru", "Xiaoming", "Yusuf", "Zoë",
)  # fmt: skip
LAST_NAMES = (
    "Schmidt", "Nowak", "García", "Rossi", "Andersen", "Tanaka", "Wang", "Okafor", "Silva",
    "Dubois", "Kowalczyk", "Ivanov", "Yılmaz", "Nguyen", "Patel", "Murphy", "Jensen", "Novák",
    "Haddad",
    "Mwangi", "Johansson", "Ferreira", "Weber", "Kim", "Chen", "Popescu", "Horváth", "Brown",
    "Martínez", "Lindqvist", "De Vries", "O’Neill",
)  # fmt: skip
COMPANIES = 20_000
LISTS = 20
EARLIER = ("sent", "put_off", "cancelled")


def main(people: int, *, full: bool) -> None:
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        sql = Dialect(cursor, connection.vendor)
        write_recipients(cursor, _people(people))
        fill_lists(sql, people)
        fill_suppressions(sql, people)
        made = make_mailings()
        for name in EARLIER:
            fill_run(sql, name, made, people if full else people // 10)
        fill_singles(sql, made, people // 10)
        fill_run(sql, "refused", made, people if full else people // 10)
        fill_run(sql, "halfway", made, people)
        fill_results(sql, people)
        fill_records(sql, made, people // 10)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")  # a server in use has done so


def _people(count: int) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Two providers have most of them; the others are at thousands of companies."""
    chance = random.Random(1)
    for number in range(1, count + 1):
        first, last, kind = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES), chance.random()
        domain = f"company{chance.randrange(COMPANIES)}.example"
        if kind < 0.6:
            domain = "bigmail.example" if kind < 0.4 else "post.example"
        local = "".join(
            sign for sign in f"{first}.{last}".lower() if sign in ".abcdefghijklmnopqrstuvwxyz"
        )
        name = f"{first} {last}" if chance.random() < 0.9 else ""
        yield f"{local}{number}@{domain}", name, {"city": "Taipei"}


def fill_lists(sql: Dialect, people: int) -> None:
    """One that everybody is on, some of them no longer; twenty others, each smaller."""
    from mailer.models import MailingList

    for number in range(LISTS + 1):
        made = MailingList.objects.create(name=f"List {number}", slug=f"list-{number}")
        size = people if number == 0 else people // (20 * number)
        sql.do(
            "INSERT INTO mailer_subscription (list_id, recipient_id, state, created_at, changed_at)"
            f" SELECT {made.pk}, id, CASE WHEN id % 50 = 0 THEN 'unsubscribed'"
            " WHEN id % 5003 = 1 THEN 'unconfirmed' ELSE 'subscribed' END, created_at, updated_at"
            f" FROM mailer_recipient WHERE id <= {size} ORDER BY id"
        )
    sql.do(
        "INSERT INTO mailer_consent (subscription_id, state, source, evidence, wording,"
        " recorded_at) SELECT id, 'subscribed', 'import', 'people.csv', '', created_at"
        " FROM mailer_subscription ORDER BY id"
    )


def fill_suppressions(sql: Dialect, people: int) -> None:
    """As many as there are people: some of these, and many who are long gone. Few complained."""
    known = people // 20
    columns = "INSERT INTO mailer_suppression (address_key, address, reason, detail, created_at)"
    sql.do(
        f"{columns} SELECT {sql.octets('n')}, 'gone' || n || '@bigmail.example',"
        " CASE WHEN n % 100003 = 5 THEN 'complaint' ELSE 'hard_bounce' END,"
        f" '5.1.1 no such user', {sql.ago('n')} FROM {sql.series(people - known)}"
    )
    sql.do(
        f"{columns} SELECT address_key, address, 'hard_bounce', '', created_at"
        " FROM mailer_recipient WHERE id % 20 = 3"
    )


def fill_results(sql: Dialect, count: int) -> None:
    """Task results and attempts; few failed."""
    name = "CASE WHEN n % 4 = 0 THEN 'mailer.tick' ELSE 'mailer.send_batch' END"
    sql.do(
        "INSERT INTO django_celery_results_taskresult (task_id, task_name, status, worker,"
        " content_type, content_encoding, result, date_created, date_started, date_done)"
        f" SELECT 'task-' || n, {name}, CASE WHEN n % 5003 = 0 THEN 'FAILURE' ELSE 'SUCCESS' END,"
        f" 'mail@host', 'application/json', 'utf-8', 'null', {sql.ago('n')}, {sql.ago('n')},"
        f" {sql.ago('n')} FROM {sql.series(count)}"
    )
    sql.do(
        "INSERT INTO admin_ext_taskattempt (task_id, retries, starts, name, args, kwargs, queue,"
        " worker, state, started_at, finished_at, error, traceback, object_label, object_pk,"
        " retry_of, retried_as)"
        f" SELECT 'task-' || n, 0, 1, {name}, '[1]', '{{}}', 'mail', 'mail@host', 'succeeded',"
        f" {sql.ago('n')}, {sql.ago('n')}, '', '', 'mailer.batch', n, '', ''"
        f" FROM {sql.series(count)}"
    )


def fill_records(sql: Dialect, made: dict[str, int], count: int) -> None:
    """The audit, tests of a message, and the history of people that staff have changed."""
    from django.contrib.contenttypes.models import ContentType

    from mailer.models import Recipient

    kind = ContentType.objects.get_for_model(Recipient).pk
    sql.do(
        "INSERT INTO mailer_audit (run_id, action, actor_id, at, count, detail)"
        " SELECT id, CASE WHEN id % 10007 = 0 THEN 'retry' ELSE 'hold' END,"
        f" {made['user']}, created_at, 1, '' FROM mailer_run WHERE trigger = 'single'"
    )
    sql.do(
        "INSERT INTO mailer_testmessage (message_id, relay_id, address, requested_by_id,"
        " requested_at, task_id, outcome, reply)"
        f" SELECT {made['message']}, {made['relay']}, 'me@example.com', {made['user']},"
        f" {sql.ago('n')}, 'task-' || n, 'sent', '' FROM {sql.series(count)}"
    )
    sql.do(
        "INSERT INTO django_admin_log (action_time, user_id, content_type_id, object_id,"
        " object_repr, action_flag, change_message)"
        f" SELECT {sql.ago('n')}, {made['user']}, {kind}, n, 'somebody', 2, ''"
        f" FROM {sql.series(count)}"
    )


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]), full=sys.argv[2:] == ["full"])
