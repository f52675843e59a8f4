"""Runs to a million each, in every state that their deliveries can be in, and single messages."""

from __future__ import annotations

from datetime import timedelta

from bench.dialect import Dialect

BATCH = 1000
_MOSTLY_SENT = """WHEN id % 67 = 0 THEN 'failed' WHEN id % 199 = 0 THEN 'skipped'
    WHEN id % 50021 = 7 THEN 'uncertain' WHEN id % 100003 = 9 THEN 'cancelled'"""
#: By name: the run's state, the part of it that was tried, and what became of whom by their id.
_RUNS = {
    "sent": ("finished", 1.0, f"CASE {_MOSTLY_SENT} ELSE 'sent' END"),
    "halfway": (
        "sending",
        0.52,
        (f"CASE WHEN id > {{tried}} THEN 'pending' {_MOSTLY_SENT} WHEN id % 41 = 0 THEN 'deferred'"
        " ELSE 'sent' END"),
    ),
    "put_off": (  # by a relay that took next to nothing
        "paused",
        0.6,
        ("CASE WHEN id > {tried} THEN 'pending' WHEN id < 200 THEN 'sent'"
        " WHEN id % 90001 = 0 THEN 'failed' ELSE 'deferred' END"),
    ),
    "cancelled": (
        "cancelled",
        0.5,
        f"CASE WHEN id > {{tried}} THEN 'cancelled' {_MOSTLY_SENT} ELSE 'sent' END",
    ),
    "refused": ("finished", 1.0, (f"CASE WHEN id % 3 = 0 THEN 'failed' {_MOSTLY_SENT}"
                " ELSE 'sent' END")),
}  # fmt: skip
#: What was replied: to those that failed the first eight in turn.
_REPLIES = """
    (0, '550 5.1.1', 550, '5.1.1', '5.1.1 no such user'),
    (1, '550 5.1.1', 550, '5.1.1', '5.1.1 no such user'),
    (2, '550 5.1.1', 550, '5.1.1', '5.1.1 unknown'),
    (3, '554 5.7.1', 554, '5.7.1', '5.7.1 refused by policy'),
    (4, '552 5.2.2', 552, '5.2.2', '5.2.2 mailbox full'),
    (5, '550', 550, '', 'rejected'),
    (6, '553 5.1.3', 553, '5.1.3', '5.1.3 bad address'),
    (7, 'no value for city', NULL, '', 'line 3: there is no city'),
    (8, '451 4.7.1', 451, '4.7.1', '4.7.1 come back later'),
    (9, 'interrupted', NULL, '', ''),
    (10, 'unsubscribed', NULL, '', ''),
    (11, NULL, 250, '2.0.0', '2.0.0 Ok: queued'),
    (12, NULL, NULL, '', '')"""
_REPLY_TO = """CASE became WHEN 'failed' THEN id / 3 % 8 WHEN 'deferred' THEN 8
    WHEN 'uncertain' THEN 9 WHEN 'skipped' THEN 10 WHEN 'sent' THEN 11 ELSE 12 END"""


def make_mailings() -> dict[str, int]:
    """One to the first list, and one for single messages; the keys of what there is by name."""
    from django.contrib.auth.models import User

    from mailer.models import Mailing, MailingList, Message, Relay
    from mailer.services.writing import save_version

    content = {
        "subject": "News", "html": "<p>Hello {{ name }} in {{ city }}</p>", "text": "Hello",
        "from_name": "News", "from_address": "news@example.com", "reply_to": "",
    }  # fmt: skip
    message = Message.objects.create(name="Weekly news")
    receipt = Message.objects.create(name="Receipt")
    for number in range(20):
        save_version(message, {**content, "subject": f"News {number}"}, by=None)
    save_version(receipt, content, by=None)
    relay = Relay.objects.create(name="Sink", from_environment=True)
    mailing = Mailing.objects.create(name="Weekly news", message=message, relay=relay)
    mailing.lists.set(MailingList.objects.order_by("pk")[:1])
    single = Mailing.objects.create(name="Receipt", message=receipt, relay=relay, is_single=True)
    return {
        "message": message.pk,
        "mailing": mailing.pk,
        "single": single.pk,
        "relay": relay.pk,
        "user": User.objects.create_superuser("chief").pk,
    }


def fill_run(sql: Dialect, name: str, made: dict[str, int], people: int) -> None:
    from django.utils import timezone

    from mailer.models import COUNTERS, Audit, Mailing, Run

    state, part, became = _RUNS[name]
    tried, now, relay = int(people * part), timezone.now(), made["relay"]
    mailing = Mailing.objects.get(pk=made["mailing"])
    run = Run.objects.create(
        mailing=mailing, slot=now - timedelta(days=10 - len(name)), trigger="staff",
        started_by_id=made["user"], state=state, relay_id=relay,
        message_version=mailing.message.current, shares={str(relay): 1}, created_at=now,
        started_at=now - timedelta(hours=1), next_seq=people + 1,
        expires_at=now + timedelta(days=3), left_out={"suppressed": people // 20},
    )  # fmt: skip
    run.lists.set(mailing.lists.all())
    _fill_deliveries(sql, run.pk, became.format(tried=tried), people)
    counts = "{0} = (SELECT count(*) FROM mailer_delivery WHERE run_id = {1} AND state = '{0}')"
    counters = ", ".join(counts.format(state, run.pk) for state in COUNTERS)
    sql.do(f"UPDATE mailer_run SET total = {people}, {counters} WHERE id = {run.pk}")
    _fill_batches(sql, run.pk, relay, tried=tried, people=people)
    for action in Audit.Action.values:
        Audit.objects.create(run=run, action=action, actor_id=made["user"], at=now, count=7)


def _fill_deliveries(sql: Dialect, run: int, became: str, people: int) -> None:
    variables = sql.json('{"city": "Taipei", "name": "Somebody or other", "customer": "12345"}')
    sql.do(
        "INSERT INTO mailer_delivery (run_id, seq, uuid, recipient_id, address, address_key,"
        " domain, variables, state, attempts, retry_at, settled_at, problem, code,"
        " enhanced_status, reply)"
        f" SELECT {run}, id, {sql.uuid(run, 'id')}, id, address, address_key, domain, {variables},"
        " became, CASE WHEN became = 'pending' THEN 0 ELSE 1 END,"
        f" CASE WHEN became = 'deferred' THEN {sql.ago('-(id % 3600)')} END,"
        f" CASE WHEN became NOT IN ('pending', 'cancelled') THEN {sql.ago(3600)} END,"
        " problem, code, status, reply"
        f" FROM (WITH replies(number, problem, code, status, reply) AS (VALUES {_REPLIES})"
        f" SELECT r.*, o.* FROM (SELECT *, {became} AS became FROM mailer_recipient"
        f" WHERE id <= {people}) r JOIN replies o ON o.number = {_REPLY_TO}) x ORDER BY id"
    )


def _fill_batches(sql: Dialect, run: int, relay: int, *, tried: int, people: int) -> None:
    """Their tasks have the batches' numbers, and so have the results."""
    done = f"n * {BATCH} <= {tried}"
    sql.do(
        "INSERT INTO mailer_batch (run_id, relay_id, first_seq, last_seq, mark, state, worker,"
        " task_id, created_at, claimed_at, finished_at)"
        f" SELECT {run}, {relay}, n * {BATCH} - {BATCH - 1}, n * {BATCH},"
        f" n * {BATCH} - {BATCH - 1},"
        f" CASE WHEN {done} THEN 'done' ELSE 'ready' END, 'mail@host', 'task-' || ({run} + n),"
        f" {sql.ago(4000)}, CASE WHEN {done} THEN {sql.ago(3600)} END,"
        f" CASE WHEN {done} THEN {sql.ago(3500)} END FROM {sql.series(max(1, people // BATCH))}"
    )


def fill_singles(sql: Dialect, made: dict[str, int], count: int) -> None:
    """A run, a delivery and a batch each; half of them to people who are known."""
    from django.core.management.color import no_style
    from django.db import connection

    from mailer.models import Mailing, Run

    first = Run.objects.order_by("-pk").values_list("pk", flat=True)[0]
    version = Mailing.objects.get(pk=made["single"]).message.current
    assert version is not None
    nothing, failed = sql.json("{}"), "CASE WHEN n % 100 = 0 THEN 1 ELSE 0 END"
    sql.do(
        "INSERT INTO mailer_run (id, mailing_id, slot, trigger, state, reason, slots_missed,"
        " message_version_id, relay_id, shares, left_out, next_seq, total, pending, sent, deferred,"
        " failed, uncertain, skipped, cancelled, tried, refused, refused_by_policy, passed,"
        " idempotency_key, created_at, started_at, finished_at)"
        f" SELECT {first} + n, {made['single']}, {sql.ago('n')}, 'single', 'finished', '', 0,"
        f" {version.pk}, {made['relay']}, {nothing}, {nothing}, 2, 1, 0, 1 - {failed}, 0, {failed},"
        f" 0, 0, 0, 1, 0, 0, 0, 'order ' || n, {sql.ago('n')}, {sql.ago('n')}, {sql.ago('n')}"
        f" FROM {sql.series(count)}"
    )
    sql.do(
        "INSERT INTO mailer_delivery (run_id, seq, uuid, recipient_id, address, address_key,"
        " domain, variables, state, attempts, code, enhanced_status, reply, settled_at, problem)"
        f" SELECT {first} + id, 1, {sql.uuid(f'{first} + id', 'id')},"
        " CASE WHEN id % 2 = 0 THEN id END, address, address_key, domain, attributes,"
        " CASE WHEN id % 100 = 0 THEN 'failed' ELSE 'sent' END, 1,"
        " CASE WHEN id % 100 = 0 THEN 550 ELSE 250 END, '', '', updated_at,"
        " CASE WHEN id % 100 = 0 THEN '550' END"
        f" FROM mailer_recipient WHERE id <= {count} ORDER BY id"
    )
    sql.do(
        "INSERT INTO mailer_batch (run_id, relay_id, first_seq, last_seq, mark, state, worker,"
        f" task_id, created_at, finished_at) SELECT {first} + n, {made['relay']}, 1, 1, 2, 'done',"
        f" 'mail@host', 'task-' || ({first} + n), {sql.ago('n')}, {sql.ago('n')}"
        f" FROM {sql.series(count)}"
    )
    for statement in connection.ops.sequence_reset_sql(no_style(), [Run]):
        sql.do(statement)
