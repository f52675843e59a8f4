"""Who may open what: every page and action of mailer's admin, for every kind of visitor."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin as django_admin
from django.contrib.admin.models import LogEntry
from django.core import serializers
from django.test import Client
from django_celery_beat.models import PeriodicTask

from mailer import models

from .conftest import World, page

pytestmark = pytest.mark.database

READ_ONLY = ("run", "batch", "delivery", "audit", "messageversion")
EDITED = ("recipient", "mailinglist", "message", "relay", "domainlimit", "mailing")
OBJECTS = {
    "recipient": "recipient",
    "mailinglist": "mailing_list",
    "subscription": "subscription",
    "suppression": "suppression",
    "relay": "relay",
    "domainlimit": "domain_limit",
    "message": "message",
    "messageversion": "version",
    "mailing": "mailing",
    "run": "run",
    "batch": "batch",
    "delivery": "delivery",
    "audit": "audit",
}
#: model, view, the permission beside "view" it takes (None: nobody has it by permission).
ACTIONS = [
    ("mailing", "do_send_now", "start_mailing"),
    ("mailing", "do_enable", "start_mailing"),
    ("mailing", "do_disable", "start_mailing"),
    ("mailing", "do_copy", "add_mailing"),
    ("relay", "do_try_now", "change_relay"),
    ("message", "do_send_test", "change_message"),
    ("run", "do_pause", "control_run"),
    ("run", "do_resume", "control_run"),
    ("run", "do_cancel", "control_run"),
    ("run", "do_retry", "retry_run"),
    ("run", "do_resolve", "retry_run"),
    ("delivery", "do_retry", "retry_run"),
    ("delivery", "do_resolve", "retry_run"),
    ("delivery", "do_cancel", "control_run"),
    ("delivery", "do_suppress", "add_suppression"),
]
PAGES = [(model, view) for model in OBJECTS for view in ("changelist", "change", "history")]
PAGES.append(("run", "live"))
ADDS = [(model, f"add_{model}") for model in (*EDITED, "subscription", "suppression")]
DELETES = [(model, f"delete_{model}") for model in (*EDITED, "suppression")]
NEVER = [(model, view) for model in READ_ONLY for view in ("add", "delete")]
NEVER.append(("subscription", "delete"))


def _url(world: World, model: str, view: str) -> str:
    alone = view in {"changelist", "add"}
    return page(model, view, None if alone else getattr(world, OBJECTS[model]))


def _everything() -> str:
    tables: list[Any] = [getattr(models, name) for name in models.__all__ if name != "COUNTERS"]
    rows: list[Any] = []
    for table in [*tables, LogEntry, PeriodicTask]:
        rows += table.objects.order_by("pk")
    return serializers.serialize("json", rows)


def test_the_tables_here_hold_every_address_of_the_admin() -> None:
    known = {f"mailer_{model}_{view}" for model, view in [*PAGES, *NEVER]}
    known |= {f"mailer_{model}_{view}" for model, view, _permission in ACTIONS}
    known |= {f"mailer_{model}_add" for model, _permission in ADDS}
    known |= {f"mailer_{model}_delete" for model, _permission in DELETES}
    known.add("mailer_message_file")  # tested with the files, which it needs
    known.add("mailer_delivery_export")  # tested with the list
    known.add("mailer_mailing_outlook")  # tested with the form
    known |= {"mailer_messageversion_preview", "mailer_messageversion_frame"}  # test_preview
    found = {
        pattern.name
        for model_admin in django_admin.site._registry.values()
        if model_admin.opts.app_label == "mailer"
        for pattern in model_admin.get_urls()
        if getattr(pattern, "name", None)
    }
    assert found == known


@pytest.mark.parametrize(("model", "view"), PAGES)
def test_pages_are_for_those_who_may_view(
    world: World, login: Callable[..., Client], client: Client, model: str, view: str
) -> None:
    url = _url(world, model, view)
    before = _everything()
    assert client.get(url).status_code == 302
    assert client.post(url).status_code == 302
    assert login().get(url).status_code == 403
    assert client.post(url).status_code == 403
    assert login("view").get(url).status_code == 200
    assert client.post(url, {"name": "x"}).status_code in {200, 302, 403, 405}
    assert _everything() == before


@pytest.mark.parametrize(("model", "permission"), ADDS)
def test_adding_takes_its_permission(
    world: World, login: Callable[..., Client], client: Client, model: str, permission: str
) -> None:
    url = page(model, "add")
    assert client.get(url).status_code == client.post(url).status_code == 302
    assert login("view").get(url).status_code == 403
    assert client.post(url).status_code == 403
    before = _everything()
    assert login("view", permission).get(url).status_code == 200
    assert _everything() == before


@pytest.mark.parametrize("model", [*EDITED, "subscription"])
def test_changing_takes_its_permission(
    world: World, login: Callable[..., Client], client: Client, model: str
) -> None:
    url = _url(world, model, "change")
    login("view")
    before = _everything()
    assert client.post(url, {"name": "other", "state": "unsubscribed"}).status_code == 403
    assert _everything() == before
    assert "_save" not in client.get(url).content.decode()
    assert "_save" in login("view", f"change_{model}").get(url).content.decode()


@pytest.mark.parametrize(("model", "permission"), DELETES)
def test_deleting_takes_its_permission_and_a_post(
    world: World, login: Callable[..., Client], client: Client, model: str, permission: str
) -> None:
    url = _url(world, model, "delete")
    assert client.get(url).status_code == client.post(url).status_code == 302
    assert login("view").get(url).status_code == 403
    before = _everything()
    assert client.post(url, {"post": "yes"}).status_code == 403
    assert login("view", permission).get(url).status_code in {200, 302}  # refused ones go back
    assert _everything() == before


@pytest.mark.parametrize(("model", "view"), NEVER)
def test_what_services_write_nobody_adds_or_deletes(
    world: World, admin: Client, model: str, view: str
) -> None:
    url = _url(world, model, view)
    before = _everything()
    assert admin.get(url).status_code == 403
    assert admin.post(url, {"post": "yes"}).status_code == 403
    assert _everything().count('"model": "mailer.') == before.count('"model": "mailer.')


@pytest.mark.parametrize("model", READ_ONLY)
def test_what_services_write_nobody_changes(world: World, admin: Client, model: str) -> None:
    before = _everything()
    url = _url(world, model, "change")
    assert admin.post(url, {"state": "sent"}).status_code == 403
    assert _everything() == before


@pytest.mark.parametrize(("model", "view", "permission"), ACTIONS)
def test_actions_take_their_permission(
    world: World, login: Callable[..., Client], model: str, view: str, permission: str
) -> None:
    url, client, before = _url(world, model, view), Client(), _everything()
    assert client.get(url).status_code == client.post(url).status_code == 302
    # Who may change a thing may see it, by Django's own rule: then that is enough.
    enough = permission.startswith("change_")
    for too_little in [(), ("view",), *([] if enough else [(permission,)])]:
        client = login(*too_little)
        assert client.get(url).status_code == client.post(url).status_code == 403
    client = login("view", permission)
    # 302: it is not possible in this world (there is nothing to resume).
    assert client.get(url).status_code in {200, 302}
    assert client.post(url).status_code in {200, 302}  # without the page's moment: asked again
    assert _everything() == before


def test_buttons_are_shown_to_those_who_may_press_them(
    world: World, login: Callable[..., Client]
) -> None:
    url = _url(world, "run", "change")
    seen = login("view").get(url).content.decode()
    assert "/do/" not in seen
    seen = login("view", "control_run").get(url).content.decode()
    assert "/do/pause/" in seen
    assert "/do/retry/" not in seen


def test_the_list_action_takes_its_permission(
    world: World, login: Callable[..., Client], client: Client
) -> None:
    url = page("mailing", "changelist")
    asked = {"action": "send_selected", "_selected_action": [world.mailing.pk]}
    before = _everything()
    for who in ((), ("view",), ("view", "change_mailing")):
        login(*who).post(url, asked)
        assert _everything() == before
    answer = login("view", "start_mailing").post(url, asked)
    assert "goes to" in answer.content.decode()
    assert _everything() == before
