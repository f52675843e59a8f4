"""Run in a site's environment, which must be empty: mailings to so many people. Prints nothing.

"Bench" goes to all of them, "Bench few" to the first 10,000, "Bench small" to the first 100. Beside
them stand some who have left the list, and some whose address is suppressed, as on any list that
has been in use for a while.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import django

from bench.recipients import write_recipients

FEW = 10_000
SMALL = 100
LEFT = 50  # one in so many more has left
SUPPRESSED = 100  # one in so many more is suppressed

HTML = (
    "<html><body><h1>Dear {{ name }}</h1>\n"
    + "<p>Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod.</p>\n" * 98
    + "<p>See you in {{ city }}.</p></body></html>\n"
)
TEXT = (
    "Dear {{ name }},\n\n"
    + "Lorem ipsum dolor sit amet, consectetur adipiscing.\n" * 38
    + "\nSee you in {{ city }}.\n"
)
SUBJECT = "News for {{ name }}"
CITIES = ("台北", "Zürich", "São Paulo", "Nairobi", "Łódź", "Boston")
_SUBSCRIBE = """
INSERT INTO mailer_subscription (list_id, recipient_id, state, created_at, changed_at)
SELECT %s, id, CASE WHEN id > %s AND id <= %s THEN 'unsubscribed' ELSE 'subscribed' END,
    created_at, updated_at
FROM mailer_recipient WHERE id <= %s ORDER BY id"""
_SUPPRESS = """
INSERT INTO mailer_suppression (address_key, address, reason, detail, created_at)
SELECT address_key, address, 'hard_bounce', '', created_at FROM mailer_recipient WHERE id > %s"""


def main(people: int) -> None:
    from django.db import connection, transaction

    left = people // LEFT
    everybody = people + left + people // SUPPRESSED
    with transaction.atomic(), connection.cursor() as cursor:
        write_recipients(cursor, _people(everybody))
        all_of_them, few = _make_mailing("Bench"), _make_mailing("Bench few")
        small = _make_mailing("Bench small")
        # The rows of an empty installation are numbered from 1.
        cursor.execute(_SUBSCRIBE, [all_of_them, people, people + left, everybody])
        cursor.execute(_SUBSCRIBE, [few, FEW, FEW, min(FEW, people)])
        cursor.execute(_SUBSCRIBE, [small, SMALL, SMALL, SMALL])
        cursor.execute(_SUPPRESS, [people + left])
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")  # a server in use has done so


def _people(count: int) -> Iterator[tuple[str, str, dict[str, str]]]:
    for number in range(1, count + 1):
        attributes = {"city": CITIES[number % len(CITIES)], "customer": str(number), "plan": "gold"}
        yield f"person{number}@a{number % 50}.example", f"Zoë Person {number}", attributes


def _make_mailing(name: str) -> int:
    """A mailing to a list of its own, both of this name; the list's id."""
    from mailer.models import Mailing, MailingList, Message, Relay
    from mailer.services.writing import save_version

    people = MailingList.objects.create(name=name, slug=name.lower().replace(" ", "-"))
    message = Message.objects.create(name=name)
    content = {
        "subject": SUBJECT, "html": HTML, "text": TEXT,
        "from_name": "News", "from_address": "news@example.com", "reply_to": "",
    }  # fmt: skip
    save_version(message, content, by=None)
    relay, _ = Relay.objects.get_or_create(name="Sink", from_environment=True)
    Mailing.objects.create(name=name, message=message, relay=relay).lists.set([people])
    return people.pk


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]))
