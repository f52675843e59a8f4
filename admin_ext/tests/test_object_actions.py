"""Buttons on an object's page: who may, what GET does, what two clicks do."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from admin_ext.tests import toy

pytestmark = [pytest.mark.django_db, pytest.mark.database]

VIEW, CHANGE = "auth.view_group", "auth.change_group"
Clients = Callable[..., Client]


@pytest.fixture(autouse=True)
def _forget_calls() -> None:
    toy.calls.clear()


@pytest.fixture
def group(db: None) -> Group:
    return Group.objects.create(name="editors")


def url(group: Group, action: str) -> str:
    return f"/toy/auth/group/{group.pk}/do/{action}/"


def page(group: Group) -> str:
    return f"/toy/auth/group/{group.pk}/change/"


def moment_in(html: str) -> str:
    return re.search(r'name="_moment" value="([^"]+)"', html)[1]


def said(client: Client, group: Group) -> str:
    html = client.get(page(group)).content.decode()
    return " ".join(
        re.findall(r'<li class="(?:success|error|warning|info)">(.*?)</li>', html, re.DOTALL)
    )


def test_get_asks_and_changes_nothing(group: Group, client_for: Clients) -> None:
    html = client_for(VIEW, CHANGE).get(url(group, "note")).content.decode()
    assert "About editors?" in html
    assert toy.calls == []


def test_post_runs_it_and_says_so(group: Group, client_for: Clients) -> None:
    client = client_for(VIEW, CHANGE)
    moment = moment_in(client.get(url(group, "note")).content.decode())
    answer = client.post(url(group, "note"), {"_moment": moment})
    assert (answer.status_code, answer.url) == (302, page(group))
    assert [call[:2] for call in toy.calls] == [("note", group.pk)]
    assert said(client, group) == "Noted."


def test_two_clicks_on_a_page_carry_the_same_moment(group: Group, client_for: Clients) -> None:
    client = client_for(VIEW, CHANGE)
    moment = moment_in(client.get(url(group, "note")).content.decode())
    for _ in range(2):
        client.post(url(group, "note"), {"_moment": moment})
    first, second = (call[2] for call in toy.calls)
    assert first == second
    other = moment_in(client.get(url(group, "note")).content.decode())
    client.post(url(group, "note"), {"_moment": other})
    assert toy.calls[2][2] > first


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("permissions", [(), (VIEW,), (CHANGE.replace("change", "delete"),)])
def test_without_the_permission_it_is_forbidden(
    group: Group, client_for: Clients, method: str, permissions: tuple[str, ...]
) -> None:
    allowed = client_for(VIEW, CHANGE)
    moment = moment_in(allowed.get(url(group, "note")).content.decode())
    answer = getattr(client_for(*permissions), method)(url(group, "note"), {"_moment": moment})
    assert answer.status_code == 403
    assert toy.calls == []


@pytest.mark.parametrize("method", ["get", "post"])
def test_strangers_are_sent_to_log_in(group: Group, client: Client, method: str) -> None:
    answer = getattr(client, method)(url(group, "note"))
    assert answer.status_code == 302
    assert "/login/" in answer.url
    assert toy.calls == []


@pytest.mark.parametrize("method", ["put", "delete", "patch", "head"])
def test_other_methods_are_not_answered(group: Group, client_for: Clients, method: str) -> None:
    assert getattr(client_for(VIEW, CHANGE), method)(url(group, "note")).status_code == 405


def test_a_post_needs_the_csrf_token(group: Group, make_user: Callable[..., object]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user(VIEW, CHANGE))
    moment = moment_in(client.get(url(group, "note")).content.decode())
    assert client.post(url(group, "note"), {"_moment": moment}).status_code == 403


def test_a_moment_holds_for_its_action_object_and_person(group: Group, client_for: Clients) -> None:
    mine, other = client_for(VIEW, CHANGE), client_for(VIEW, CHANGE)
    moment = moment_in(mine.get(url(group, "note")).content.decode())
    another = Group.objects.create(name="readers")
    for client, address in (
        (mine, url(another, "note")),
        (mine, url(group, "write")),
        (other, url(group, "note")),
    ):
        answer = client.post(address, {"_moment": moment, "word": "x"})
        assert answer.status_code == 200
        assert "Confirm again" in answer.content.decode()
    assert toy.calls == []


@pytest.mark.parametrize("signed", ["", "2026-01-01T00:00:00+00:00", "x:y"])
def test_a_forged_or_missing_moment_asks_again(
    group: Group, client_for: Clients, signed: str
) -> None:
    answer = client_for(VIEW, CHANGE).post(url(group, "note"), {"_moment": signed})
    assert "Confirm again" in answer.content.decode()
    assert toy.calls == []


def test_after_an_hour_it_asks_again(group: Group, client_for: Clients) -> None:
    client = client_for(VIEW, CHANGE)
    moment = moment_in(client.get(url(group, "note")).content.decode())
    with time_machine.travel(timezone.now() + timedelta(minutes=61)):
        answer = client.post(url(group, "note"), {"_moment": moment})
        assert toy.calls == []
        fresh = moment_in(answer.content.decode())
        client.post(url(group, "note"), {"_moment": fresh})
    assert len(toy.calls) == 1


@pytest.mark.parametrize(
    ("name", "words"), [("refuse", "The relay is paused."), ("fail", "Too many.")]
)
def test_a_refusal_is_a_message(group: Group, client_for: Clients, name: str, words: str) -> None:
    client = client_for(VIEW, CHANGE)
    moment = moment_in(client.get(url(group, name)).content.decode())
    assert client.post(url(group, name), {"_moment": moment}).status_code == 302
    assert said(client, group) == words


def test_what_is_not_available_is_neither_offered_nor_run(
    group: Group, client_for: Clients
) -> None:
    client = client_for(VIEW, CHANGE)
    assert "/do/never/" not in client.get(page(group)).content.decode()
    assert client.post(url(group, "never"), {"_moment": "x"}).url == page(group)
    assert toy.calls == []
    assert "was not done" in said(client, group)


def test_looking_at_what_is_not_available_says_why_and_blames_nobody(
    group: Group, client_for: Clients
) -> None:
    client = client_for(VIEW, CHANGE)
    assert client.get(url(group, "never")).url == page(group)
    words = said(client, group)
    assert "“Never” is not possible now. It never is." in words
    assert "was not done" not in words


def test_a_form_is_shown_checked_and_handed_over(group: Group, client_for: Clients) -> None:
    client = client_for(VIEW, CHANGE)
    html = client.get(url(group, "write")).content.decode()
    assert 'name="word"' in html
    assert "errorlist" not in html
    moment = moment_in(html)
    again = client.post(url(group, "write"), {"_moment": moment, "word": "editors"})
    assert "not its own name" in again.content.decode()
    assert moment_in(again.content.decode()) == moment
    done = client.post(url(group, "write"), {"_moment": moment, "word": "other"})
    assert done.url == "/elsewhere/"
    assert toy.calls == [("write", group.pk, {"word": "other"})]


def test_buttons_only_for_those_who_may(group: Group, client_for: Clients) -> None:
    assert "/do/note/" in client_for(VIEW, CHANGE).get(page(group)).content.decode()
    assert "/do/" not in client_for(VIEW).get(page(group)).content.decode()


def test_what_is_gone_is_not_found(group: Group, client_for: Clients) -> None:
    client = client_for(VIEW, CHANGE)
    group_id = group.pk
    group.delete()
    assert client.get(f"/toy/auth/group/{group_id}/do/note/").status_code == 404
