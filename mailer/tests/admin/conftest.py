"""One of everything, and the people who look at it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailer.engine.sender import Outcome
from mailer.models import (
    Audit,
    Batch,
    Delivery,
    DomainLimit,
    Mailing,
    MailingList,
    Message,
    MessageVersion,
    Recipient,
    Relay,
    Run,
    Subscription,
    Suppression,
)
from mailer.services import content
from mailer.tests import factories
from mailer.tests.ledger import Engine, send_all


@dataclass
class World:
    """A weekly mailing, its run still sending: 3 sent, 2 failed, 1 deferred, 1 uncertain."""

    mailing: Mailing
    message: Message
    version: MessageVersion
    relay: Relay
    domain_limit: DomainLimit
    mailing_list: MailingList
    recipient: Recipient
    subscription: Subscription
    suppression: Suppression
    run: Run
    batch: Batch
    delivery: Delivery
    audit: Audit


ANSWERS: dict[int, Any] = {
    1: {"outcome": Outcome.FAILED, "problem": "550 5.1.1", "code": 550, "enhanced_status": "5.1.1"},
    2: {"outcome": Outcome.FAILED, "problem": "554 5.7.1", "code": 554, "enhanced_status": "5.7.1"},
    3: {"outcome": Outcome.DEFERRED, "problem": "451"},
    4: {"outcome": Outcome.UNCERTAIN},
}


@pytest.fixture(autouse=True)
def no_child_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first render of a run takes a process of its own; its own tests start that."""
    monkeypatch.setattr(content, "render_bounded", lambda *_args, **_limits: None)


@pytest.fixture
def world(db: None, engine: Engine) -> World:
    now = timezone.now()
    mailing = factories.make_mailing(
        name="Weekly news",
        recipients=7,
        relay=factories.make_relay(name="Provider", from_environment=False, host="smtp.p.example"),
        enabled=True,
        schedule_kind="weekly",
        schedule_expression="FREQ=WEEKLY;BYDAY=MO",
        schedule_zone="Asia/Taipei",
        schedule_anchor=now - timedelta(days=30),
        now=now,
    )
    mailing.relay.set_password("correct-horse")
    mailing.relay.save()
    run = factories.make_run(mailing=mailing, now=now)
    engine.script = lambda message: ANSWERS.get(message.seq, Outcome.SENT)
    send_all(run, now=now)
    run.refresh_from_db()
    mailing_list = mailing.lists.get()
    subscription = mailing_list.subscriptions.first()
    version = mailing.message.current
    delivery, batch, audit = run.deliveries.first(), run.batches.first(), run.audits.first()
    assert None not in {subscription, version, delivery, batch, audit}
    return World(
        mailing=mailing,
        message=mailing.message,
        version=version,
        relay=mailing.relay,
        domain_limit=DomainLimit.objects.create(
            name="Big mail", domains="big.example", per_minute=60
        ),
        mailing_list=mailing_list,
        recipient=subscription.recipient,
        subscription=subscription,
        suppression=Suppression.objects.create(address="gone@b.example"),
        run=run,
        batch=batch,
        delivery=delivery,
        audit=audit,
    )


@pytest.fixture
def login(db: None, client: Client) -> Callable[..., Client]:
    """A client of a staff member with these permissions: "view" stands for all of mailer's."""

    def log_in(*permissions: str) -> Client:
        user = User.objects.create_user(f"staff{User.objects.count()}", is_staff=True)
        mine = Permission.objects.filter(content_type__app_label="mailer")
        if "view" in permissions:
            user.user_permissions.add(*mine.filter(codename__startswith="view_"))
        user.user_permissions.add(
            *mine.filter(codename__in=[p.removeprefix("mailer.") for p in permissions])
        )
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def admin(db: None, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("chief"))
    return client


def page(model: str, view: str, obj: Any = None) -> str:
    return reverse(f"admin:mailer_{model}_{view}", args=[obj.pk] if obj is not None else [])


def confirm(client: Client, url: str, *, times: int = 1, **data: Any) -> Any:
    """Open a confirmation page and press its button so many times; the last answer."""
    asked = client.get(url)
    assert asked.status_code == 200, asked
    hidden = dict(asked.context["hidden"])
    for _ in range(times):
        answer = client.post(url, {**hidden, **data}, follow=True)
    return answer


def said(response: Any) -> list[str]:
    """The messages on a page."""
    return [str(message) for message in response.context["messages"]]


class FormParser(HTMLParser):
    """Collects what a browser would send of a page's main form."""

    def __init__(self) -> None:
        super().__init__()
        self.data: dict[str, Any] = {}
        self.select = self.textarea = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, kind = given.get("name") or "", given.get("type") or ""
        if "__prefix__" in name or "disabled" in given:
            return
        if tag == "select":
            self.select = name
        elif tag == "textarea":
            self.textarea = name
            self.data[name] = ""
        elif tag == "option" and self.select and "selected" in given:
            self.data[self.select] = given.get("value") or ""
        elif tag == "input" and name and kind not in {"submit", "search"}:
            if kind not in {"checkbox", "radio"}:
                self.data[name] = given.get("value") or ""
            elif "checked" in given:
                self.data.setdefault(name, []).append(given.get("value") or "on")

    def handle_data(self, data: str) -> None:
        if self.textarea:
            self.data[self.textarea] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self.select = ""
        elif tag == "textarea":
            # A browser drops the first line break, and sends every other one as CRLF.
            text = self.data[self.textarea].replace("\r\n", "\n").removeprefix("\n")
            self.data[self.textarea] = text.replace("\n", "\r\n")
            self.textarea = ""


def form_data(client: Client, url: str) -> dict[str, Any]:
    """What a browser would send of the form on a page, if nothing were changed."""
    parser = FormParser()
    parser.feed(client.get(url).content.decode())
    return parser.data
