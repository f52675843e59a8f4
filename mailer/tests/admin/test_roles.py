"""The roles of fixtures/roles.json, page by page and action by action, against one table."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin as django_admin
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client, RequestFactory
from django.urls import reverse
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from django_celery_results.models import TaskResult

from .conftest import World
from .test_permissions import OBJECTS, _everything

pytestmark = pytest.mark.database

ROLES = ("reviewer", "editor", "sender", "chief")
#: model: view … : who (chief, who has all permissions, always may unless it says "nobody").
#: "save" is a POST to the change page; "@name" an action of the list.
TABLE = """
mailer.mailing       changelist change history      : reviewer editor sender
mailer.mailing       add save do_copy               : sender
mailer.mailing       do_send_now do_enable do_disable @send_selected : sender
mailer.mailing       delete                         :
mailer.message       changelist change history      : reviewer editor sender
mailer.message       add save delete do_send_test   : editor
mailer.messageversion changelist change history preview frame : reviewer editor sender
mailer.messageversion add save delete               : nobody
mailer.run           changelist change history live : reviewer editor sender
mailer.run           do_pause do_resume do_cancel do_retry do_resolve : sender
mailer.run           @pause_selected @resume_selected @cancel_selected : sender
mailer.run           add save delete                : nobody
mailer.delivery      changelist change history export : reviewer sender
mailer.delivery      do_retry do_resolve do_cancel do_suppress : sender
mailer.delivery      @resolve_selected @retry_selected @cancel_selected : sender
mailer.delivery      add save delete                : nobody
mailer.batch         changelist change history      : reviewer sender
mailer.batch         add save delete                : nobody
mailer.audit         changelist change history      : reviewer sender
mailer.audit         add save delete                : nobody
mailer.mailinglist   changelist change history      : reviewer editor sender
mailer.mailinglist   add save delete                : editor
mailer.recipient     changelist change history      : reviewer editor sender
mailer.recipient     add save delete                : editor
mailer.subscription  changelist change history      : reviewer editor sender
mailer.subscription  add save                       : editor
mailer.subscription  delete                         : nobody
mailer.suppression   changelist change history      : reviewer editor sender
mailer.suppression   add                            : editor sender
mailer.suppression   save                           : nobody
mailer.suppression   delete @delete_selected        :
mailer.relay         changelist change history      : reviewer sender
mailer.relay         add save delete do_try_now     :
mailer.domainlimit   changelist change history      : reviewer sender
mailer.domainlimit   add save delete                :
django_celery_results.taskresult changelist change history : reviewer sender
django_celery_results.taskresult do_run_again @run_again_selected :
django_celery_results.taskresult add save delete    : nobody
django_celery_beat.periodictask changelist change history : reviewer sender
django_celery_beat.periodictask add save delete do_run_now :
django_celery_beat.periodictask @delete_selected @enable_selected @disable_selected :
django_celery_beat.crontabschedule changelist change history add save delete @delete_selected :
django_celery_beat.intervalschedule changelist change history add save delete @delete_selected :
django_celery_beat.clockedschedule changelist change history add save delete @delete_selected :
django_celery_beat.solarschedule changelist change history add save delete @delete_selected :
auth.user            changelist change history add save delete password_change :
auth.group           changelist change history add save delete :
"""
#: Tested with what they need, and by the same permission as their object's page.
ELSEWHERE = {("mailer.message", "file"), ("mailer.mailing", "outlook")}


def _rows() -> Iterator[tuple[str, str, frozenset[str]]]:
    for line in TABLE.strip().splitlines():
        what, _colon, who = line.partition(":")
        model, *views = what.split()
        may = set() if who.strip() == "nobody" else {*who.split(), "chief"}
        yield from ((model, view, frozenset(may)) for view in views)


ROWS = list(_rows())
READ = {"changelist", "history", "change", "live", "export", "preview", "frame"}


@pytest.fixture
def roles(db: None) -> dict[str, Client]:
    """A client of each role, by its name."""
    call_command("loaddata", settings.BASE_DIR / "fixtures" / "roles.json", verbosity=0)
    clients = {}
    for role in ROLES:
        user = User.objects.create_user(role, is_staff=True, is_superuser=role == "chief")
        if role != "chief":
            user.groups.add(Group.objects.get(name=role.capitalize()))
        clients[role] = Client()
        clients[role].force_login(user)
    return clients


@pytest.fixture
def thing(world: World) -> Callable[[str], Any]:
    """One object of each model."""
    hourly = IntervalSchedule.objects.create(every=1, period="hours")
    result = TaskResult.objects.create(task_id="a-task", status="FAILURE", task_name="mailer.tick")
    others = {
        "django_celery_results.taskresult": result,
        "django_celery_beat.intervalschedule": hourly,
        "django_celery_beat.periodictask": PeriodicTask.objects.create(
            name="A task", task="mailer.tick", interval=hourly
        ),
        "django_celery_beat.crontabschedule": CrontabSchedule.objects.create(),
        "django_celery_beat.clockedschedule": ClockedSchedule.objects.create(
            clocked_time="2030-01-01T00:00Z"
        ),
        "django_celery_beat.solarschedule": SolarSchedule.objects.create(
            event="sunrise", latitude=1, longitude=1
        ),
        "auth.user": User.objects.create_user("somebody"),
        "auth.group": Group.objects.create(name="Some role"),
    }

    def get(model: str) -> Any:
        return others.get(model) or getattr(world, OBJECTS[model.removeprefix("mailer.")])

    return get


def _ask(client: Client, model: str, view: str, obj: Any, *, method: str) -> int:
    name = {"save": "change"}.get(view, "changelist" if view.startswith("@") else view)
    alone = name in {"changelist", "add", "export"}
    url = reverse(f"admin:{model.replace('.', '_')}_{name}", args=[] if alone else [obj.pk])
    data = {"action": view[1:], "_selected_action": [obj.pk]} if view.startswith("@") else {}
    ask = client.post if method == "POST" else client.get
    return int(ask(url, data).status_code)


def test_the_table_holds_every_page_and_action() -> None:
    request = RequestFactory().get("/")
    request.user = User(is_superuser=True, is_staff=True, is_active=True)
    found = set()
    for model, model_admin in django_admin.site._registry.items():
        label = model._meta.label_lower
        for pattern in model_admin.get_urls():
            if name := getattr(pattern, "name", None):
                found.add((label, name.removeprefix(f"{label.replace('.', '_')}_")))
        found |= {(label, f"@{action}") for action in model_admin.get_actions(request)}
    known = {(model, view) for model, view, _who in ROWS if view != "save"}
    assert found - ELSEWHERE == known
    assert len(ROWS) == len({row[:2] for row in ROWS})


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_what_the_table_says(
    role: str, roles: dict[str, Client], thing: Callable[[str], Any]
) -> None:
    before, client = _everything(), roles[role]
    for model, view, may in ROWS:
        obj = thing(model)
        for method in ("POST",) if view == "save" or view[0] == "@" else ("GET", "POST"):
            if method == "POST" and view in READ:
                continue  # "save" says who may post there
            if role == "chief" and method == "POST" and view in {"add", "save", "delete"}:
                continue  # would be done, and is tested where it is done
            status = _ask(client, model, view, obj, method=method)
            allowed = status in {200, 302}
            if view[0] == "@":
                allowed = allowed and _is_offered(client, model, view)
            assert allowed == (role in may), (model, view, method, status)
    assert _everything() == before


def _is_offered(client: Client, model: str, view: str) -> bool:
    shown = client.get(reverse(f"admin:{model.replace('.', '_')}_changelist")).content.decode()
    return f'value="{view[1:]}"' in shown


def test_roles_can_be_loaded_again_after_they_were_changed(roles: dict[str, Client]) -> None:
    editor = Group.objects.get(name="Editor")
    wanted = set(editor.permissions.values_list("pk", flat=True))
    editor.permissions.clear()
    call_command("loaddata", settings.BASE_DIR / "fixtures" / "roles.json", verbosity=0)
    assert set(editor.permissions.values_list("pk", flat=True)) == wanted
    assert Group.objects.count() == 3
