"""`python -m tests.browser.furnish`: the demo in an empty database, with a list of friends, and
nothing due for days.

In a process of its own: the site's database is not the one that pytest keeps for the tests.
"""

from datetime import timedelta

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402

from mailer.models import Mailing, MailingList, Message, MessageVersion, Relay  # noqa: E402
from mailer.services.scheduling import apply_schedule, switch_schedule  # noqa: E402
from mailer.tests.factories import make_list, make_recipient, subscribe  # noqa: E402
from tests.browser.office import FRIENDS  # noqa: E402

call_command("migrate", verbosity=0)
call_command("load_demo")
for mailing in Mailing.objects.all():
    switch_schedule(mailing, on=False, now=timezone.now())
# Whoever sees what the administrator did need not see the administrator.
MessageVersion.objects.update(created_by=User.objects.get(is_superuser=True))
# A machine that takes pictures may lack the script.
MailingList.objects.filter(slug="taiwan").update(name="Readers in Taiwan")
for model in (Message, Mailing):
    model.objects.filter(name="週一來信").update(name="Monday letter")
friends = make_list(FRIENDS.name)
for address in FRIENDS.addresses:
    subscribe(make_recipient(address), friends)
soon = Mailing.objects.get(name="Monday letter")
soon.enabled, soon.schedule_kind, soon.schedule_expression = True, "every", "2 weeks"
soon.schedule_anchor = timezone.now().replace(minute=0, second=0) + timedelta(days=3)
soon.save()
apply_schedule(soon, now=timezone.now())
# One message after the other: where the relay holds a connection, it holds the run.
Relay.objects.update(connections=1)
