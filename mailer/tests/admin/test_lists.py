"""Lists: what an empty one says, what they are narrowed by, and the questions before deleting."""

from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mailer.models import Audit, Mailing, Suppression
from mailer.tests import factories

from .conftest import World, page, said

pytestmark = pytest.mark.database

MODELS = [
    "mailing", "message", "run", "delivery", "mailinglist", "recipient", "subscription",
    "suppression", "batch", "relay", "domainlimit", "audit",
]  # fmt: skip


def main(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return str(answer.content.decode().partition("<main")[2])


@pytest.mark.parametrize("model", MODELS)
def test_an_empty_list_says_what_belongs_there(admin: Client, model: str) -> None:
    shown = main(admin, page(model, "changelist"))
    model_admin: Any = next(
        one for kind, one in django_admin.site._registry.items()
        if kind._meta.label_lower == f"mailer.{model}"
    )  # fmt: skip
    assert str(model_admin.when_empty).split(".")[0] in shown
    assert 'id="result_list"' not in shown


def test_only_who_may_add_one_is_offered_it(login: Any) -> None:
    add = f'class="button" href="{page("mailing", "add")}"'
    assert add not in main(login("view"), page("mailing", "changelist"))
    assert add in main(login("view", "add_mailing"), page("mailing", "changelist"))


def test_a_list_in_which_nothing_is_found_leads_back(admin: Client, world: World) -> None:
    url = page("mailing", "changelist")
    shown = main(admin, f"{url}?q=nothing-like-it")
    assert "No mailings are like that." in shown
    assert f'class="button" href="{url}">Show all mailings' in shown


def test_a_list_is_narrowed_by_what_is_picked(admin: Client, world: World) -> None:
    other = factories.make_list("Others", recipients=2)
    factories.make_mailing(name="To others", lists=[other])
    url = page("mailing", "changelist")
    narrowed = admin.get(f"{url}?lists__id__exact={other.pk}&o=1")
    assert [str(mailing) for mailing in narrowed.context["cl"].result_list] == ["To others"]
    shown = narrowed.content.decode()
    assert f'<option value="{other.pk}" selected>Others</option>' in shown
    assert str(world.mailing_list) not in shown.partition("changelist-filter")[2]
    assert '<input type="hidden" name="o" value="1">' in shown


@pytest.mark.parametrize("key", ["", "x", "9" * 30, "²", "1&lists__id__exact=2"])
def test_a_key_that_is_none_breaks_no_list(admin: Client, world: World, key: str) -> None:
    answer = admin.get(f"{page('mailing', 'changelist')}?lists__id__exact={key}", follow=True)
    assert answer.status_code == 200


def test_what_one_may_not_see_cannot_be_picked_but_still_narrows(world: World, login: Any) -> None:
    client = login("view_subscription")
    narrow = f"{page('subscription', 'changelist')}?list__id__exact={world.mailing_list.pk + 1}"
    shown = client.get(narrow)
    assert list(shown.context["cl"].result_list) == []
    assert "pick-filter" not in shown.content.decode()


def test_filters_cost_the_same_however_much_there_is_to_pick(admin: Client, world: World) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            admin.get(page("run", "changelist"))
        return len(queries)

    count()
    few = count()
    for _ in range(30):
        factories.make_mailing()
    assert count() == few
    assert "Mailing 1" not in admin.get(page("run", "changelist")).content.decode()


def test_deleting_names_what_goes_along(admin: Client, world: World) -> None:
    shown = main(admin, page("recipient", "delete", world.recipient))
    assert "Deleted altogether: subscription: <strong>1</strong>." in " ".join(shown.split())
    assert "They get no more mail" in shown
    assert 'value="Delete this recipient"' in shown


def test_deleting_several_names_their_number(admin: Client) -> None:
    keys = [Suppression.objects.create(address=f"a{n}@b.example").pk for n in range(3)]
    chosen = {"action": "delete_selected", "_selected_action": keys}
    asked = admin.post(page("suppression", "changelist"), chosen).content.decode()
    assert "3 suppressions: deleted for good." in asked
    assert 'value="Delete 3 suppressions"' in asked
    assert Suppression.objects.count() == 3
    admin.post(page("suppression", "changelist"), {**chosen, "post": "yes"})
    assert not Suppression.objects.exists()


def test_a_user_who_did_something_is_kept(admin: Client, world: World) -> None:
    sam, ann = (User.objects.create_user(name) for name in ("sam", "ann"))
    Audit.objects.filter(pk=world.audit.pk).update(actor=sam)
    for user in (sam, ann):
        url = reverse("admin:auth_user_delete", args=[user.pk])
        answer = admin.post(url, {"post": "yes"}, follow=True)
        assert ("“sam” is kept" in said(answer)[0]) is (user == sam)
    assert list(User.objects.order_by("username").values_list("username", flat=True)) == [
        "chief", "sam",
    ]  # fmt: skip


def test_a_new_user_may_open_these_pages_and_gets_a_role(admin: Client) -> None:
    role = Group.objects.create(name="Editor")
    url = reverse("admin:auth_user_add")
    shown = main(admin, url)
    assert "Roles" in shown
    words = {"password1": "quite-a-long-one", "password2": "quite-a-long-one"}
    admin.post(url, {"username": "new", **words, "is_staff": "on", "groups": [role.pk]})
    user = User.objects.get(username="new")
    assert (user.is_staff, list(user.groups.all())) == (True, [role])
    assert user.check_password("quite-a-long-one")


def test_roles_are_called_roles(admin: Client) -> None:
    shown = main(admin, reverse("admin:auth_group_add"))
    assert "Add role" in shown
    assert "&rsaquo; Add role" in admin.get(reverse("admin:auth_group_add")).content.decode()


def test_sending_several_says_how_many(admin: Client, world: World) -> None:
    second = factories.make_mailing(recipients=1)
    chosen = {"action": "send_selected", "_selected_action": [world.mailing.pk, second.pk]}
    asked = admin.post(page("mailing", "changelist"), chosen).content.decode()
    assert 'value="Send 2 mailings now"' in asked
    assert Mailing.objects.count() == 2
