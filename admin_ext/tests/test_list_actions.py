"""Actions on selected rows: asked with the count, only for those who may."""

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from admin_ext.tests import toy

pytestmark = [pytest.mark.django_db, pytest.mark.database]

VIEW, CHANGE, LIST = "auth.view_group", "auth.change_group", "/toy/auth/group/"
Clients = Callable[..., Client]


@pytest.fixture(autouse=True)
def groups(db: None) -> list[Group]:
    toy.calls.clear()
    return [Group.objects.create(name=name) for name in ("a", "b", "c")]


def choose(client: Client, *groups: Group, address: str = LIST, across: str = "0") -> str:
    """Press "Go" in the list; the confirmation page."""
    answer = client.post(
        address,
        {
            "action": "note_selected",
            "index": "0",
            "select_across": across,
            "_selected_action": [group.pk for group in groups],
        },
    )
    return answer.content.decode()


def fields(html: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', html):
        found.setdefault(name, []).append(value)
    return found


def test_it_asks_with_the_count_first(groups: list[Group], client_for: Clients) -> None:
    html = choose(client_for(VIEW, CHANGE), *groups[:2])
    assert "2 groups?" in html
    assert 'value="Note 2"' in html
    assert toy.calls == []


def test_then_runs_on_what_was_chosen(groups: list[Group], client_for: Clients) -> None:
    client = client_for(VIEW, CHANGE)
    form = fields(choose(client, *groups[:2]))
    for _ in range(2):
        assert client.post(LIST, form).status_code == 302
    assert [call[1] for call in toy.calls] == [["a", "b"]] * 2
    assert toy.calls[0][2] == toy.calls[1][2], "two clicks carry one moment"


def test_all_rows_of_a_search(groups: list[Group], client_for: Clients) -> None:
    client = client_for(VIEW, CHANGE)
    Group.objects.create(name="ab")
    form = fields(choose(client, groups[0], address=f"{LIST}?q=a", across="1"))
    client.post(f"{LIST}?q=a", form)
    assert toy.calls[0][1] == ["a", "ab"]


def test_a_changed_count_asks_again(groups: list[Group], client_for: Clients) -> None:
    client = client_for(VIEW, CHANGE)
    form = fields(choose(client, groups[0], across="1"))
    Group.objects.create(name="d")
    html = client.post(LIST, form).content.decode()
    assert "Confirm again" in html
    assert "4 groups?" in html
    assert toy.calls == []


def test_a_viewer_is_not_offered_it_and_cannot_post_it(
    groups: list[Group], client_for: Clients
) -> None:
    form = fields(choose(client_for(VIEW, CHANGE), *groups))
    viewer = client_for(VIEW)
    assert "note_selected" not in viewer.get(LIST).content.decode()
    viewer.post(LIST, form)
    assert toy.calls == []


def test_a_refusal_is_a_message(groups: list[Group], client_for: Clients) -> None:
    bad = Group.objects.create(name="bad")
    client = client_for(VIEW, CHANGE)
    client.post(LIST, fields(choose(client, bad)))
    assert "One is bad." in client.get(LIST).content.decode()
    assert toy.calls == []
