"""Choosing: from a few at a glance, from many by typing; only what one may see."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from admin_ext.components.plain_form import MOST_IN_A_SELECT
from mailer.models import Mailing
from mailer.tests import factories

from .conftest import World, form_data, page

pytestmark = pytest.mark.database

#: The fields by which each model is chosen, and what it takes to see it.
FIELDS = [
    ("mailing", "message", "view_message"),
    ("mailing", "lists", "view_mailinglist"),
    ("mailing", "relay", "view_relay"),
    ("mailingrelay", "relay", "view_relay"),
    ("subscription", "recipient", "view_recipient"),
    ("subscription", "list", "view_mailinglist"),
    ("run", "mailing", "view_mailing"),
    ("batch", "run", "view_run"),
    ("delivery", "run", "view_run"),
    ("audit", "run", "view_run"),
]


def ask(client: Client, model: str, field: str, term: str = "") -> Any:
    query = {"app_label": "mailer", "model_name": model, "field_name": field, "term": term}
    return client.get(reverse("admin:autocomplete"), query)


@pytest.mark.parametrize(("model", "field", "needed"), FIELDS)
def test_only_what_one_may_see_is_suggested(
    world: World, login: Any, model: str, field: str, needed: str
) -> None:
    everything = {wanted for _model, _field, wanted in FIELDS}
    others = [*(everything - {needed}), "add_subscription"]
    assert ask(login(*others), model, field).status_code == 403
    assert ask(login(needed), model, field).json()["results"]


def test_who_did_it_is_suggested_to_who_may_see_users(
    world: World, login: Any, admin: Client
) -> None:
    assert ask(admin, "audit", "actor", "chie").json()["results"][0]["text"] == "chief"
    assert ask(login("view"), "audit", "actor").status_code == 403


def test_suggestions_are_searched_for(admin: Client, world: World) -> None:
    factories.make_list("Others")
    found = ask(admin, "mailing", "lists", "other").json()["results"]
    assert [one["text"] for one in found] == ["Others"]
    found = ask(admin, "subscription", "recipient", world.recipient.address[:6]).json()["results"]
    assert world.recipient.address in [one["text"] for one in found]


def test_suggestions_cost_the_same_however_many_there_are(admin: Client, world: World) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert ask(admin, "batch", "run").json()["results"]
        return len(queries)

    few = count()
    for _ in range(5):
        factories.make_run(recipients=1)
    assert count() == few


def test_a_few_are_chosen_at_a_glance_and_many_by_typing(admin: Client, world: World) -> None:
    url = page("mailing", "change", world.mailing)
    few = admin.get(url).content.decode()
    assert "admin-autocomplete" not in few
    assert f'type="checkbox" name="lists" value="{world.mailing_list.pk}"' in few
    for number in range(MOST_IN_A_SELECT):
        factories.make_list(f"List {number}")
        factories.make_relay(name=f"Relay {number}")
        factories.make_message(name=f"Text {number}")
    with CaptureQueriesContext(connection) as queries:
        many = admin.get(url).content.decode()
    form = many.partition('id="mailing_form"')[2]
    assert form.count('class="admin-autocomplete"') >= 3
    for name in ("List 7", "Relay 7", "Text 7"):
        assert f">{name}<" not in form
    assert len(queries) < 60
    other = Mailing._meta.get_field("lists").related_model.objects.get(name="List 7")
    data = {**form_data(admin, url), "lists": [other.pk]}
    answer = admin.post(url, data)
    assert answer.status_code == 302, answer.context["errors"]
    assert list(world.mailing.lists.all()) == [other]


def test_nothing_is_deleted_from_within_a_form_that_uses_it(admin: Client, world: World) -> None:
    shown = admin.get(page("mailing", "change", world.mailing)).content.decode()
    assert "related-widget-wrapper-link view-related" in shown
    assert "delete-related" not in shown
    assert "change-related" not in shown
