"""`python -m bench.post_office.send MESSAGES PROCESSES`: queue them, send them, count them.

Run by a Python that has django-post-office. Prints one JSON object of seconds.
"""

from __future__ import annotations

import json
import sys
import time

import django

from bench.world import CITIES, HTML, SUBJECT, TEXT

CHUNK = 1000


def main(messages: int, processes: int) -> None:
    from post_office import mail
    from post_office.models import STATUS, Email, EmailTemplate

    template, _ = EmailTemplate.objects.get_or_create(
        name="Bench", subject=SUBJECT, content=TEXT, html_content=HTML
    )
    before = Email.objects.filter(status=STATUS.sent).count()
    begun = time.perf_counter()
    for first in range(0, messages, CHUNK):
        mail.send_many(
            [
                {
                    "sender": "News <news@example.com>",
                    "recipients": f"person{number}@a{number % 50}.example",
                    "template": template,
                    "context": {
                        "name": f"Zoë Person {number}",
                        "city": CITIES[number % len(CITIES)],
                    },
                    "headers": {"List-Unsubscribe": f"<https://example.com/u/{number}>"},
                    "render_on_delivery": True,
                }
                for number in range(first, min(first + CHUNK, messages))
            ]
        )
    queued = time.perf_counter()
    mail.send_queued_mail_until_done(processes=processes)
    through = time.perf_counter()
    sent = Email.objects.filter(status=STATUS.sent).count() - before
    if sent != messages:
        raise RuntimeError(f"{sent} of {messages} were sent")
    print(json.dumps({"queueing": queued - begun, "sending": through - queued}))


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]), int(sys.argv[2]))
