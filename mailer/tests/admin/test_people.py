"""Recipients, lists, subscriptions and suppressions."""

from typing import Any

import pytest
from django.test import Client

from mailer.admin import people_search
from mailer.exceptions import NotPossible
from mailer.models import Consent, MailingList, Recipient, Subscription, Suppression
from mailer.services import searching
from mailer.tests import factories

from .conftest import World, form_data, page, said

pytestmark = pytest.mark.database


def _found(client: Client, model: str, **query: str) -> list[str]:
    response = client.get(page(model, "changelist"), query)
    assert response.status_code == 200
    return [str(row) for row in response.context["cl"].result_list]


def test_recipients_are_found_by_any_part_of_their_address(admin: Client) -> None:
    for address in ("Anna@a.example", "anna.b@a.example", "bert@a.example", "x@faß.example"):
        factories.make_recipient(address)
    assert _found(admin, "recipient", q="ANNA@a.example") == ["Anna@a.example"]
    assert _found(admin, "recipient", q="anna") == ["anna.b@a.example", "Anna@a.example"]
    assert _found(admin, "recipient", q="bert@") == ["bert@a.example"]
    assert len(_found(admin, "recipient", q="a.example")) == 3
    assert _found(admin, "recipient", q="x@faß.example") == ["x@faß.example"]
    assert len(_found(admin, "recipient")) == 4


@pytest.mark.parametrize("model", ["recipient", "subscription", "delivery"])
def test_a_search_says_when_it_shows_only_some(
    admin: Client, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people_search, "LIMIT", 2)
    factories.make_run(recipients=3)

    def notes(term: str) -> str:
        return admin.get(page(model, "changelist"), {"q": term}).content.decode()

    assert "More than 2 people are found; the list is of 2 of them." in notes("example")
    assert 'role="status"' not in notes("nobody.here")
    monkeypatch.setattr(searching, "has_index", lambda: False)
    assert "Only the beginning of addresses was looked at" in notes("person")


def test_a_search_does_not_read_per_cent_signs(admin: Client) -> None:
    factories.make_recipient("anna@a.example")
    assert _found(admin, "recipient", q="a%") == []


def test_a_recipient_is_put_on_a_list_with_a_consent_record(admin: Client) -> None:
    recipient, made = factories.make_recipient(), factories.make_list()
    url = page("recipient", "change", recipient)
    data = form_data(admin, url) | {
        "subscriptions-TOTAL_FORMS": "1",
        "subscriptions-0-list": made.pk,
        "subscriptions-0-recipient": recipient.pk,
        "subscriptions-0-state": "subscribed",
        "subscriptions-0-evidence": "by telephone",
    }
    assert admin.post(url, data).status_code == 302
    consent = Consent.objects.get()
    assert (consent.state, consent.source, consent.evidence) == (
        "subscribed",
        "staff",
        "by telephone",
    )
    assert consent.recorded_by is not None
    assert consent.subscription.recipient == recipient


def test_unsubscribing_on_the_recipients_page_is_recorded(admin: Client, world: World) -> None:
    url = page("recipient", "change", world.recipient)
    admin.post(url, {**form_data(admin, url), "subscriptions-0-state": "unsubscribed"})
    world.subscription.refresh_from_db()
    assert world.subscription.state == "unsubscribed"
    assert world.subscription.consents.count() == 2
    admin.post(url, form_data(admin, url))
    assert world.subscription.consents.count() == 2


def test_nobody_comes_back_without_evidence(admin: Client, world: World) -> None:
    Subscription.objects.filter(pk=world.subscription.pk).update(state="unsubscribed")
    url = page("subscription", "change", world.subscription)
    data = {**form_data(admin, url), "state": "subscribed"}
    answer = admin.post(url, data)
    assert "They unsubscribed" in answer.content.decode()
    assert admin.post(url, {**data, "evidence": "their letter"}).status_code == 302
    world.subscription.refresh_from_db()
    assert world.subscription.state == "subscribed"
    assert "their letter" in admin.get(url).content.decode()


def test_a_subscription_is_added_once(admin: Client, world: World) -> None:
    data = {
        "recipient": factories.make_recipient().pk,
        "list": world.mailing_list.pk,
        "state": "subscribed",
        "consents-TOTAL_FORMS": "0",
        "consents-INITIAL_FORMS": "0",
    }
    url = page("subscription", "add")
    before = Subscription.objects.count()
    assert admin.post(url, data).status_code == 302
    assert admin.post(url, data).status_code == 200
    assert Subscription.objects.count() == before + 1


def test_a_suppression_is_added_by_staff_and_found_by_address_alone(admin: Client) -> None:
    admin.post(page("suppression", "add"), {"address": "Gone@a.example", "detail": "asked for it"})
    suppression = Suppression.objects.get()
    assert suppression.reason == "staff"
    assert _found(admin, "suppression", q="gone@A.example") == ["Gone@a.example"]
    Suppression.objects.update(address="")  # its person was erased
    assert _found(admin, "suppression", q="gone@a.example") == ["an erased address"]
    assert admin.get(page("suppression", "change", suppression)).status_code == 200
    again = admin.post(page("suppression", "add"), {"address": "gone@a.example"})
    assert "suppressed already" in again.content.decode()


def test_who_may_not_see_deliveries_is_not_sent_there(login: Any, world: World) -> None:
    url, link = page("recipient", "change", world.recipient), "What was sent to this address"
    assert link not in login("view_recipient").get(url).content.decode()
    assert link in login("view_recipient", "view_delivery").get(url).content.decode()


def test_the_people_of_a_list_are_one_click_away(admin: Client, world: World) -> None:
    factories.make_list(recipients=2)
    url = f"{page('subscription', 'changelist')}?list__id__exact={world.mailing_list.pk}"
    assert f'href="{url}"' in admin.get(page("mailinglist", "changelist")).content.decode()
    assert len(_found(admin, "subscription", list__id__exact=str(world.mailing_list.pk))) == 7
    assert len(_found(admin, "subscription", q=world.recipient.address)) == 1


@pytest.mark.parametrize(
    ("states", "suppressed", "words"),
    [
        ([], "", "No: on no list"),
        (["unsubscribed"], "", "No: unsubscribed"),
        (["unsubscribed", "unconfirmed"], "", "No: not confirmed yet"),
        (["unsubscribed", "subscribed"], "", "Yes, on 1 list"),
        (["subscribed", "subscribed"], "", "Yes, on 2 lists"),
        (["subscribed"], "complaint", "No: suppressed (complaint)"),
    ],
)
def test_a_recipient_says_whether_they_get_mail(
    admin: Client, states: list[Any], suppressed: str, words: str
) -> None:
    recipient = factories.make_recipient("anna@a.example")
    for state in states:
        factories.subscribe(recipient, factories.make_list(), state)
    if suppressed:
        Suppression.objects.create(address="anna@a.example", reason=suppressed)
    for url in (page("recipient", "changelist"), page("recipient", "change", recipient)):
        assert f">{words}</span>" in admin.get(url).content.decode()


def test_lists_count_their_people(admin: Client) -> None:
    made = factories.make_list(recipients=3)
    factories.subscribe(factories.make_recipient(), made, "unsubscribed")  # type: ignore[arg-type]
    factories.make_list()
    shown = admin.get(page("mailinglist", "changelist")).content.decode()
    assert "3 subscribed, 1 unsubscribed" in shown
    assert "0 subscribed" in shown


def test_deleting_a_recipient_counts_what_goes_along(admin: Client, world: World) -> None:
    url = page("recipient", "delete", world.recipient)
    assert "subscription: <strong>1<" in admin.get(url).content.decode()
    admin.post(url, {"post": "yes"})
    assert not Recipient.objects.filter(pk=world.recipient.pk).exists()
    assert world.run.deliveries.count() == 7  # what was sent to them stays


def test_who_unsubscribed_is_kept_so_that_it_is_not_forgotten(admin: Client, world: World) -> None:
    Subscription.objects.filter(pk=world.subscription.pk).update(state="unsubscribed")
    url = page("recipient", "delete", world.recipient)
    for answer in (admin.get(url, follow=True), admin.post(url, {"post": "yes"}, follow=True)):
        assert f"has unsubscribed from “{world.mailing_list.name}” and is kept" in said(answer)[0]
    assert Recipient.objects.filter(pk=world.recipient.pk).exists()


def test_recipients_are_not_deleted_in_bulk(admin: Client, world: World) -> None:
    Subscription.objects.filter(pk=world.subscription.pk).update(state="unsubscribed")
    url, before = page("recipient", "changelist"), Recipient.objects.count()
    chosen = {"action": "delete_selected", "_selected_action": [world.recipient.pk], "post": "yes"}
    assert "delete_selected" not in admin.get(url).content.decode()
    admin.post(url, chosen)
    assert Recipient.objects.count() == before


def test_a_list_in_use_is_kept(admin: Client, world: World) -> None:
    answer = admin.post(
        page("mailinglist", "delete", world.mailing_list), {"post": "yes"}, follow=True
    )
    assert "is used by “Weekly news”" in said(answer)[0]
    assert MailingList.objects.filter(pk=world.mailing_list.pk).exists()


def test_who_unsubscribed_keeps_the_address_they_did_it_with(admin: Client, world: World) -> None:
    Subscription.objects.filter(pk=world.subscription.pk).update(state="unsubscribed")
    recipient, address = world.recipient, world.recipient.address
    url = page("recipient", "change", recipient)
    answer = admin.post(url, {**form_data(admin, url), "address": "moved@b.example"})
    refusal = answer.context["adminform"].form.errors["address"][0]
    assert f"unsubscribed from “{world.mailing_list.name}”" in refusal
    assert "Add the new address as a recipient of its own" in refusal
    recipient.address = "moved@b.example"
    with pytest.raises(NotPossible, match="recipient of its own"):
        recipient.save()
    assert Recipient.objects.get(pk=recipient.pk).address == address


def test_who_unsubscribed_may_be_renamed_and_spelled_anew(admin: Client, world: World) -> None:
    Subscription.objects.filter(pk=world.subscription.pk).update(state="unsubscribed")
    url, address = page("recipient", "change", world.recipient), world.recipient.address
    data = {**form_data(admin, url), "address": address.title(), "name": "Ann"}
    assert admin.post(url, data).status_code == 302
    world.recipient.refresh_from_db()
    assert (world.recipient.name, world.recipient.address.lower()) == ("Ann", address)


def test_the_address_of_a_reader_is_corrected(admin: Client, world: World) -> None:
    url = page("recipient", "change", world.recipient)
    data = {**form_data(admin, url), "address": "moved@b.example"}
    assert admin.post(url, data).status_code == 302
    assert world.mailing_list.recipients.filter(address="moved@b.example").exists()


def test_nobody_is_unsubscribed_and_moved_in_one_step(admin: Client, world: World) -> None:
    url, address = page("recipient", "change", world.recipient), world.recipient.address
    change = {"address": "moved@b.example", "subscriptions-0-state": "unsubscribed"}
    answer = admin.post(url, {**form_data(admin, url), **change})
    assert "which of the two unsubscribed?" in answer.content.decode()
    world.subscription.refresh_from_db()
    assert world.subscription.state == "subscribed"
    assert Recipient.objects.get(pk=world.recipient.pk).address == address


def test_a_list_somebody_unsubscribed_from_is_kept(admin: Client) -> None:
    made = factories.make_list("News", recipients=3)
    made.subscriptions.filter(pk=made.subscriptions.first().pk).update(state="unsubscribed")
    url = page("mailinglist", "delete", made)
    for answer in (admin.get(url, follow=True), admin.post(url, {"post": "yes"}, follow=True)):
        assert "“News” is kept: 1 person has unsubscribed from it." in said(answer)[0]
    made.subscriptions.update(state="unsubscribed")
    assert "3 people have unsubscribed" in said(admin.get(url, follow=True))[0]
    assert made.subscriptions.count() == 3


def test_a_list_is_deleted_with_subscriptions_that_say_nothing_more(admin: Client) -> None:
    made = factories.make_list(recipients=1)
    unanswered = factories.make_recipient()
    factories.subscribe(unanswered, made, "unconfirmed")  # type: ignore[arg-type]
    admin.post(page("mailinglist", "delete", made), {"post": "yes"})
    assert not Subscription.objects.exists()


def test_lists_are_not_deleted_in_bulk(admin: Client) -> None:
    made = factories.make_list(recipients=1)
    chosen = {"action": "delete_selected", "_selected_action": [made.pk], "post": "yes"}
    admin.post(page("mailinglist", "changelist"), chosen)
    assert MailingList.objects.exists()
