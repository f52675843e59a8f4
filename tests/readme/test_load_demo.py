"""`manage.py load_demo`: by the real services, once, and never in production."""

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from mailer.engine.render import Content, compile_content
from mailer.models import Consent, Mailing, MailingList, Message, Recipient, Subscription
from mailer.services.content import variables_of
from mailer.services.importing import read_row
from mailer.services.scheduling import schedule_of
from mailer.services.slots import next_slots
from mailer.services.writing import check_message

pytestmark = [pytest.mark.django_db, pytest.mark.database]

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture
def said() -> str:
    output = StringIO()
    call_command("load_demo", stdout=output)
    return output.getvalue()


def test_what_it_loads(said: str) -> None:
    assert "134 recipients" in said
    assert Recipient.objects.count() >= 240
    assert Subscription.objects.count() - Recipient.objects.count() == 6, "on both lists"
    assert Subscription.objects.filter(state="unsubscribed").count() == 1
    assert Consent.objects.filter(source="import").count() == Subscription.objects.count()
    first = {}
    for mailing in Mailing.objects.all():
        loaded = mailing.schedule_changed_at
        slot = next_slots(schedule_of(mailing), now=loaded, count=1)[0]
        assert mailing.enabled
        assert mailing.periodic_task is not None
        assert mailing.next_due_at == slot.at
        first[mailing.schedule_kind] = (slot.at - loaded, f"{slot.local:%a %H:%M}")
    assert first["every"][0] <= timedelta(minutes=1)
    assert timedelta(minutes=3) < first["once"][0] <= timedelta(minutes=4)
    assert first["crontab"][1] == "Mon 09:00"


def test_every_message_renders_for_everybody(said: str) -> None:
    for message in Message.objects.all():
        version = message.current
        assert version is not None
        assert not check_message(subject=version.subject, html=version.html, text=version.text)
        content = compile_content(Content(version.subject, version.html, version.text))
        for recipient in Recipient.objects.all():
            rendered = content.render(variables_of(recipient))
            assert recipient.name in rendered.subject
            assert "None" not in rendered.text


def test_again_it_keeps_what_is_there(said: str) -> None:
    admin = get_user_model().objects.get(username="admin")
    admin.set_password("changed by hand")
    admin.save()
    Mailing.objects.filter(schedule_kind="every").update(enabled=False)
    Recipient.objects.filter(name__startswith="Zoë").update(name="Zoë L.")
    before = [Recipient.objects.count(), Message.objects.count(), MailingList.objects.count()]
    call_command("load_demo", stdout=StringIO())
    admin.refresh_from_db()
    assert admin.check_password("changed by hand")
    assert not Mailing.objects.get(schedule_kind="every").enabled
    assert Recipient.objects.filter(name="Zoë L.").exists()
    assert [Message.objects.get(pk=m.pk).versions.count() for m in Message.objects.all()] == [1, 1]
    after = [Recipient.objects.count(), Message.objects.count(), MailingList.objects.count()]
    assert after == before


def test_it_refuses_in_production(settings: Any) -> None:
    settings.SETTINGS_MODULE = "site_config.settings.production"
    with pytest.raises(CommandError, match=r"site_config\.settings\.local only"):
        call_command("load_demo")
    assert not get_user_model().objects.exists()


def test_the_people_live_under_reserved_domains_only() -> None:
    reserved = ("example", "example.org", "example.com", "example.net")
    for described in json.loads((FIXTURES / "demo.json").read_text(encoding="utf-8"))["lists"]:
        lines = (FIXTURES / described["file"]).read_text(encoding="utf-8").splitlines()
        for line in lines[1:]:
            domain = read_row({"address": line.split(",")[0]}).recipient.domain
            assert domain.endswith(".example") or domain in reserved
