"""Run in a site's environment: a mailing named "Bench" to so many people. Prints nothing."""

from __future__ import annotations

import sys

import django

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


def main(recipients: int) -> None:
    from django.db import transaction

    from mailer.models import Mailing, MailingList, Message, Recipient, Relay, Subscription
    from mailer.services.writing import save_version

    with transaction.atomic():
        people = MailingList.objects.create(name="Bench", slug="bench")
        for first in range(0, recipients, 5000):
            rows = [
                Recipient(
                    name=f"Zoë Person {number}",
                    attributes={"city": "台北", "customer": str(number)},
                )
                for number in range(first, min(first + 5000, recipients))
            ]
            for number, row in enumerate(rows, first):
                row.set_address(f"person{number}@a{number % 50}.example")
            made = Recipient.objects.bulk_create(rows)
            Subscription.objects.bulk_create(
                Subscription(list=people, recipient=row) for row in made
            )
        message = Message.objects.create(name="Bench")
        content = {
            "subject": "News for {{ name }}", "html": HTML, "text": TEXT,
            "from_name": "News", "from_address": "news@example.com", "reply_to": "",
        }  # fmt: skip
        save_version(message, content, by=None)
        relay = Relay.objects.create(name="Sink", from_environment=True)
        mailing = Mailing.objects.create(name="Bench", message=message, relay=relay)
        mailing.lists.set([people])


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]))
