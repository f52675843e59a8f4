"""What staff see and set of limits: before a send, while it waits, and for providers."""

from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from mailer.models import Batch, DomainLimit, Mailing, MailingRelay, Relay, Run
from mailer.tests import factories

from .conftest import World, form_data, page

pytestmark = pytest.mark.database


def shown(admin: Client, model: str, view: str, obj: object = None) -> str:
    return admin.get(page(model, view, obj)).content.decode()


def at(moment: datetime) -> str:
    return timezone.localtime(moment).strftime("%H:%M")


def test_send_now_says_how_long_it_takes(admin: Client, world: World) -> None:
    assert "takes about" not in shown(admin, "mailing", "do_send_now", world.mailing)
    Relay.objects.update(rate_per_hour=2)
    assert "That takes about 3 h" in shown(admin, "mailing", "do_send_now", world.mailing)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("hour", "Waiting for the hourly limit of “Provider” until {}."),
        ("warm-up", "Waiting for the warm-up of “Provider” until {}."),
        ("minute", "Waiting for the limit a minute of “Provider” until {}."),
        ("second", "Waiting for its turn at “Provider” until {}."),
    ],
)
def test_a_run_says_which_limit_it_waits_for(
    admin: Client, world: World, limit: str, words: str
) -> None:
    until = timezone.now() + timedelta(minutes=20)
    Relay.objects.update(waits_until=until, waits_for=limit)
    assert words.format(at(until)) in shown(admin, "run", "live", world.run)
    Relay.objects.update(waits_until=timezone.now() - timedelta(seconds=1))
    assert "Waiting for" not in shown(admin, "run", "live", world.run)


def test_a_run_says_how_long_its_rest_takes(admin: Client) -> None:
    run = factories.make_run(recipients=9, relay=factories.make_relay(rate_per_hour=2))
    assert "about 4 h left" in shown(admin, "run", "live", run)
    Run.objects.update(state="paused")
    assert "left at its" not in shown(admin, "run", "live", run)


def test_a_run_says_which_provider_its_mail_waits_for(admin: Client, world: World) -> None:
    until = timezone.now() + timedelta(minutes=20)
    run = factories.make_run(recipients=2)
    assert "waits for its limit" not in shown(admin, "run", "live", run)
    DomainLimit.objects.update(waits_until=until)
    Batch.objects.filter(run=run).update(domain_limit=world.domain_limit)
    words = f"Mail to “Big mail” waits for its limit a minute until {at(until)}."
    assert words in shown(admin, "run", "live", run)


@pytest.mark.parametrize(
    ("domains", "kept", "error"),
    [
        ("@GMAIL.com, googlemail.com gmail.com", "gmail.com\ngooglemail.com", ""),
        ("bücher.example", "xn--bcher-kva.example", ""),
        ("no domain", "", "is no domain"),
        ("", "", "required"),
        ("big.example", "", "big.example has a limit already: “Big mail”."),
    ],
)
def test_a_providers_domains_are_read_as_addresses_are(
    admin: Client, world: World, domains: str, kept: str, error: str
) -> None:
    answer = admin.post(
        page("domainlimit", "add"), {"name": "Other", "domains": domains, "per_minute": "60"}
    )
    made = DomainLimit.objects.filter(name="Other").first()
    assert (made.domains if made else "") == kept
    if error:
        assert error in str(answer.context["adminform"].form.errors["domains"])


def test_a_mailing_gets_a_further_relay(admin: Client, world: World) -> None:
    url, other = page("mailing", "change", world.mailing), factories.make_relay(name="Spare")
    data = form_data(admin, url) | {
        "further_relays-TOTAL_FORMS": "1",
        "further_relays-0-relay": other.pk,
        "further_relays-0-share": "0",
        "further_relays-0-mailing": world.mailing.pk,
        "relay_share": "2",
        "urgent": "on",
        "weight": "16",
    }
    assert admin.post(url, data).status_code == 302
    assert MailingRelay.objects.get().relay == other
    mailing = Mailing.objects.get(pk=world.mailing.pk)
    assert (mailing.relay_share, mailing.urgent, mailing.weight) == (2, True, 16)
    data |= {"further_relays-0-relay": world.relay.pk}
    data |= {"further_relays-0-id": MailingRelay.objects.get().pk}
    data |= {"further_relays-INITIAL_FORMS": "1"}
    answer = admin.post(url, data)
    assert answer.status_code == 200
    assert "is the main relay already" in answer.content.decode()


def test_a_relay_that_a_mailing_falls_back_on_is_kept(admin: Client, world: World) -> None:
    other = factories.make_relay(name="Spare")
    MailingRelay.objects.create(mailing=world.mailing, relay=other)
    admin.post(page("relay", "delete", other), {"post": "yes"})
    assert Relay.objects.filter(pk=other.pk).exists()


def test_a_run_says_nothing_of_a_relay_that_its_mail_does_not_wait_for(
    admin: Client, world: World
) -> None:
    until = timezone.now() + timedelta(minutes=20)
    spare = factories.make_relay(name="Spare", waits_until=until, waits_for="hour")
    run = factories.make_run(recipients=2)
    Run.objects.filter(pk=run.pk).update(shares={str(run.relay_id): 1, str(spare.pk): 0})
    assert "Waiting for" not in shown(admin, "run", "live", run)
    Batch.objects.filter(run=run).update(relay=spare)
    assert "Waiting for the hourly limit of “Spare”" in shown(admin, "run", "live", run)


def test_saving_a_relay_leaves_what_workers_wrote_meanwhile(
    admin: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, until = page("relay", "change", world.relay), timezone.now() + timedelta(hours=1)
    save = Relay.save

    def save_late(relay: Relay, **options: object) -> None:
        Relay.objects.update(paused_until=until, used={"hour": [[1, 5]]}, failures_in_a_row=2)
        save(relay, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Relay, "save", save_late)
    assert admin.post(url, form_data(admin, url) | {"name": "Other"}).status_code == 302
    relay = Relay.objects.get(pk=world.relay.pk)
    assert (relay.name, relay.paused_until, relay.failures_in_a_row) == ("Other", until, 2)
    assert relay.used == {"hour": [[1, 5]]}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"warm_up_from": "9999-12-31", "warm_up_full": "100"}, "warm_up_from"),
        ({"rate_per_second": "1e308"}, "rate_per_second"),
    ],
)
def test_odd_limits_are_refused(
    admin: Client, world: World, changes: dict[str, str], field: str
) -> None:
    url = page("relay", "change", world.relay)
    answer = admin.post(url, form_data(admin, url) | changes)
    assert set(answer.context["adminform"].form.errors) == {field}
