"""`manage.py load_demo`: what fixtures/ describes, with people of each role; not in production."""

import json
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from mailer.models import (
    Consent,
    Mailing,
    MailingList,
    Message,
    Relay,
    Subscription,
    Suppression,
)
from mailer.services.importing import import_file
from mailer.services.scheduling import apply_schedule
from mailer.services.writing import save_version
from mailer.states import SubscriptionState

# Everybody may know them: they open a site that only this machine can reach.
LOGIN, PASSWORD = "admin", "mailroom-demo"
ROLES = ("Editor", "Sender", "Reviewer")
PLACES = {"site_config.settings.local", "site_config.settings.test"}
FIXTURES = settings.BASE_DIR / "fixtures"


class Command(BaseCommand):
    help = "Load the demo data and its people; what is there already stays as it is."

    def handle(self, *_args: Any, **_options: Any) -> None:
        if settings.SETTINGS_MODULE not in PLACES:
            raise CommandError(
                "Demo data comes with a password that everybody knows: "
                "it is loaded with site_config.settings.local only."
            )
        demo = json.loads((FIXTURES / "demo.json").read_text(encoding="utf-8"))
        now = timezone.now()
        with transaction.atomic():
            relay, _created = Relay.objects.get_or_create(
                name=demo["relay"]["name"], defaults=demo["relay"]
            )
            for mailing_list in demo["lists"]:
                self._load_list(mailing_list, now=now)
            for suppressed in demo["suppressed"]:
                _load_suppression(suppressed)
            for message in demo["messages"]:
                _load_message(message)
            for mailing in demo["mailings"]:
                _load_mailing(mailing, relay=relay, now=now)
            call_command("loaddata", FIXTURES / "roles.json", verbosity=0)
            _make_people()

    def _load_list(self, described: dict[str, Any], *, now: datetime) -> None:
        names = ("name", "slug", "description")
        mailing_list, created = MailingList.objects.get_or_create(
            name=described["name"], defaults={name: described[name] for name in names}
        )
        if not created:
            return
        report = import_file(FIXTURES / described["file"], mailing_list=mailing_list, now=now)
        self.stdout.write(f"{mailing_list}: {report.added} recipients from {described['file']}")
        for address in described["unsubscribed"]:
            _unsubscribe(mailing_list, address, now=now)


def _unsubscribe(mailing_list: MailingList, address: str, *, now: datetime) -> None:
    subscription = Subscription.objects.get(list=mailing_list, recipient__address=address)
    subscription.state = SubscriptionState.UNSUBSCRIBED
    subscription.save()
    Consent.objects.create(
        subscription=subscription,
        state=SubscriptionState.UNSUBSCRIBED,
        source=Consent.Source.PERSON,
        evidence="an example",
        recorded_at=now,
    )


def _load_suppression(described: dict[str, str]) -> None:
    suppression = Suppression(**described)
    suppression.set_address(suppression.address)
    if not Suppression.objects.filter(address_key=suppression.address_key).exists():
        suppression.save()


def _load_message(described: dict[str, str]) -> None:
    message, _created = Message.objects.get_or_create(
        name=described["name"], defaults={"language": described["language"]}
    )
    if message.current is not None:
        return
    body = FIXTURES / described["body"]
    content = {
        name: described[name] for name in ("subject", "from_name", "from_address", "reply_to")
    }
    for name in ("html", "text"):
        suffix = ".html" if name == "html" else ".txt"
        content[name] = body.with_suffix(suffix).read_text(encoding="utf-8")
    save_version(message, content, by=None)


def _load_mailing(described: dict[str, Any], *, relay: Relay, now: datetime) -> None:
    this_minute = now.replace(second=0, microsecond=0)
    mailing, created = Mailing.objects.get_or_create(
        name=described["name"],
        defaults={
            "message": Message.objects.get(name=described["message"]),
            "relay": relay,
            "enabled": True,
            "schedule_kind": described["kind"],
            "schedule_expression": described["expression"],
            "schedule_zone": described["zone"],
            "schedule_anchor": this_minute + timedelta(minutes=described["starts_in_minutes"]),
        },
    )
    if created:
        mailing.lists.set(MailingList.objects.filter(name__in=described["lists"]))
        apply_schedule(mailing, now=now)


def _make_people() -> None:
    """An administrator and one of each role; once: who has changed the password keeps it."""
    users = get_user_model().objects
    if not users.filter(username=LOGIN).exists():
        users.create_superuser(LOGIN, email="", password=PASSWORD)
    for role in ROLES:
        if not users.filter(username=role.lower()).exists():
            user = users.create_user(role.lower(), password=PASSWORD, is_staff=True)
            user.groups.add(Group.objects.get(name=role))
