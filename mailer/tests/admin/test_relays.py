"""A relay's password goes in and never comes out."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from mailer import tasks
from mailer.models import Relay
from mailer.tests import factories

from .conftest import World, confirm, form_data, page, said

pytestmark = pytest.mark.database

SECRET = "correct-horse-battery"
FIELDS = {
    "name": "Provider",
    "host": "smtp.p.example",
    "port": "587",
    "warm_up_first": "50",
    "warm_up_factor": "1.5",
    "security": "starttls",
    "username": "mailroom",
    "connections": "4",
}


def test_a_password_is_kept_encrypted_and_never_shown(admin: Client) -> None:
    answer = admin.post(page("relay", "add"), {**FIELDS, "password": SECRET}, follow=True)
    relay = Relay.objects.get()
    assert relay.get_password() == SECRET
    assert SECRET not in relay.password_encrypted
    url = page("relay", "change", relay)
    admin.post(url, {**FIELDS, "password": f"{SECRET}2", "port": "25"})
    seen = [answer.content.decode()]
    seen += [
        admin.get(page("relay", view, relay)).content.decode() for view in ("change", "history")
    ]
    seen += [admin.get(page("relay", "changelist")).content.decode()]
    seen += [entry.change_message for entry in LogEntry.objects.all()]
    # Not even when the form comes back with an error.
    seen.append(admin.post(url, {**FIELDS, "password": SECRET, "port": ""}).content.decode())
    relay.refresh_from_db()
    for text in seen:
        assert SECRET not in text
        assert relay.password_encrypted not in text
    assert "One is stored" in seen[1]


def test_an_empty_password_keeps_the_stored_one(admin: Client, world: World) -> None:
    admin.post(page("relay", "change", world.relay), {**FIELDS, "password": ""})
    world.relay.refresh_from_db()
    assert world.relay.username == "mailroom"
    assert world.relay.get_password() == "correct-horse"


def test_a_user_name_needs_a_password(admin: Client) -> None:
    answer = admin.post(page("relay", "add"), FIELDS)
    assert answer.context["adminform"].form.errors == {
        "password": ["Give the user name's password, or empty the user name."]
    }
    for fields in ({"username": ""}, {"name": "Ours", "from_environment": "on"}):
        assert admin.post(page("relay", "add"), FIELDS | fields).status_code == 302


@pytest.mark.parametrize(
    ("fields", "warned"),
    [
        ({"security": "none", "password": SECRET}, True),
        ({"security": "starttls", "password": SECRET}, False),
        ({"security": "none", "username": ""}, False),
        ({"security": "none", "password": SECRET, "from_environment": "on"}, False),
    ],
)
def test_a_login_in_the_clear_is_warned_of(
    admin: Client, fields: dict[str, str], warned: bool
) -> None:
    answer = admin.post(page("relay", "add"), FIELDS | fields, follow=True)
    assert any("unencrypted" in words for words in said(answer)) is warned
    assert Relay.objects.exists()


def test_a_password_is_forgotten_on_demand(admin: Client, world: World) -> None:
    url = page("relay", "change", world.relay)
    both = admin.post(url, {**FIELDS, "password": "x", "forget_password": "on"})
    assert "choose one" in both.content.decode()
    needed = admin.post(url, {**FIELDS, "forget_password": "on"})
    assert "forget_password" in needed.context["adminform"].form.errors
    admin.post(url, {**FIELDS, "username": "", "forget_password": "on"})
    world.relay.refresh_from_db()
    assert world.relay.password_encrypted == ""
    assert "None is stored" in admin.get(url).content.decode()


def test_the_environment_is_shown_without_its_login(admin: Client, settings: Any) -> None:
    from site_config.settings.environment import RelayURL

    settings.RELAY_URL = RelayURL("relay.env.example", 2525, "tls", "env-user", "env-secret")
    relay = factories.make_relay()
    for url in (page("relay", "changelist"), page("relay", "change", relay)):
        shown = admin.get(url).content.decode()
        assert "relay.env.example:2525" in shown
        assert "env-user" not in shown
        assert "env-secret" not in shown


def test_a_viewer_sees_no_password_field(world: World, login: Any) -> None:
    client: Client = login("view")
    shown = client.get(page("relay", "change", world.relay)).content.decode()
    assert "smtp.p.example" in shown
    assert "assword" not in shown.partition("<main")[2]


def test_a_relay_in_use_is_kept(admin: Client, world: World) -> None:
    answer = admin.post(page("relay", "delete", world.relay), {"post": "yes"}, follow=True)
    assert "is kept" in said(answer)[0]
    assert Relay.objects.filter(pk=world.relay.pk).exists()


@pytest.fixture
def paused(world: World) -> Relay:
    relay = world.relay
    relay.paused_until = timezone.now() + timedelta(minutes=15)
    relay.pause_reason, relay.failures_in_a_row = "535 authentication failed", 4
    relay.save()
    return relay


def test_a_relay_that_answers_slowly_says_so(admin: Client, world: World) -> None:
    url = page("relay", "change", world.relay)
    assert "answers slowly" not in admin.get(url).content.decode()
    Relay.objects.update(slow_until=timezone.now() + timedelta(minutes=15))
    assert "answers slowly; one process is kept for" in admin.get(url).content.decode()
    admin.post(url, form_data(admin, url) | {"host": "other.example"})
    assert "answers slowly" not in admin.get(url).content.decode()


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Filled when workers are told that there is something to do."""
    rung: list[bool] = []
    monkeypatch.setattr(tasks, "_ring", lambda: rung.append(True))
    return rung


def _trouble(relay: Relay) -> tuple[bool, str, int]:
    relay.refresh_from_db()
    return relay.paused_until is not None, relay.pause_reason, relay.failures_in_a_row


def test_a_paused_relay_is_tried_now(
    admin: Client,
    paused: Relay,
    rung: list[bool],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    url = page("relay", "do_try_now", paused)
    assert url in admin.get(page("relay", "change", paused)).content.decode()
    assert "535 authentication failed" in admin.get(url).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        assert said(confirm(admin, url)) == ["“Provider” is tried again now."]
    assert _trouble(paused) == (False, "", 0)
    assert rung
    assert url not in admin.get(page("relay", "change", paused)).content.decode()
    assert (
        "chief had it tried again at once."
        in admin.get(page("relay", "history", paused)).content.decode()
    )


@pytest.mark.parametrize(
    ("changes", "resumed"),
    [
        ({"host": "smtp2.p.example"}, True),
        ({"port": "2525"}, True),
        ({"security": "tls"}, True),
        ({"username": "other"}, True),
        ({"password": "right at last"}, True),
        ({"forget_password": "on"}, True),
        ({"from_environment": "on"}, True),
        ({"name": "Other"}, False),
        ({"connections": "2"}, False),
    ],
)
def test_a_relay_that_was_put_right_is_tried_at_once(
    admin: Client,
    paused: Relay,
    rung: list[bool],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    *,
    changes: dict[str, str],
    resumed: bool,
) -> None:
    url = page("relay", "change", paused)
    data = form_data(admin, url) | changes
    with django_capture_on_commit_callbacks(execute=True):
        assert admin.post(url, data).status_code == 302
    assert (_trouble(paused) == (False, "", 0)) is resumed
    assert bool(rung) is resumed


def test_limits_are_said_to_be_of_all_mail_through_it(admin: Client) -> None:
    shown = admin.get(page("relay", "add")).content.decode()
    assert "over all runs and workers" in shown


@pytest.mark.parametrize("changes", [{"rate_per_hour": "500"}, {"rate_per_second": ""}])
def test_what_waits_for_a_limit_goes_on_when_that_is_changed(
    admin: Client,
    world: World,
    rung: list[bool],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    changes: dict[str, str],
) -> None:
    until = timezone.now() + timedelta(hours=1)
    Relay.objects.update(rate_per_second=2, rate_per_hour=100, waits_until=until, waits_for="hour")
    url = page("relay", "change", world.relay)
    assert "waits for the hourly limit of “Provider” until" in admin.get(url).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        assert admin.post(url, form_data(admin, url) | changes).status_code == 302
    assert rung
    assert Relay.objects.get(pk=world.relay.pk).waits_until is None


def test_a_warm_up_shows_its_plan(admin: Client, world: World) -> None:
    url = page("relay", "change", world.relay)
    plan = {"warm_up_from": "2026-11-30", "warm_up_first": "100", "warm_up_factor": "2"}
    answer = admin.post(url, form_data(admin, url) | plan)
    assert "warm_up_full" in answer.context["adminform"].form.errors
    admin.post(url, form_data(admin, url) | plan | {"warm_up_full": "500"})
    shown = admin.get(url).content.decode()
    assert "30 Nov: 100 · 1 Dec: 200 · 2 Dec: 400; from 3 Dec 2026 on only the limits" in shown


# --- Django backends -------------------------------------------------------------------------

SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
POSTMARK = "anymail.backends.postmark.EmailBackend"
# As a browser sends it: fields that are hidden go along, empty or not.
BACKEND_FIELDS = {
    "name": "Postmark",
    "kind": "backend",
    "backend": POSTMARK,
    "host": "",
    "port": "",
    "security": "starttls",
    "username": "",
    "connections": "4",
    "warm_up_first": "50",
    "warm_up_factor": "1.5",
}


@pytest.fixture
def listed(settings: Any) -> None:
    settings.MAILER_BACKENDS = [SMTP_BACKEND, POSTMARK]


def test_the_kind_is_not_offered_where_there_is_none_to_choose(admin: Client, world: World) -> None:
    for url in (page("relay", "add"), page("relay", "change", world.relay)):
        shown = admin.get(url).content.decode()
        assert 'name="kind"' not in shown
        assert 'name="backend"' not in shown
    admin.post(page("relay", "add"), BACKEND_FIELDS)  # and cannot be smuggled in
    assert not Relay.objects.filter(kind="backend").exists()


def test_a_backend_is_chosen_from_those_of_the_site(admin: Client, listed: None) -> None:
    shown = admin.get(page("relay", "add")).content.decode()
    assert f'<option value="{POSTMARK}"' in shown
    assert "mailer/relay.js" in shown
    assert shown.count('data-kind="smtp"') == 6
    assert shown.count('data-kind="backend"') == 1
    assert admin.post(page("relay", "add"), BACKEND_FIELDS).status_code == 302
    relay = Relay.objects.get()
    assert (relay.kind, relay.backend, relay.port) == ("backend", POSTMARK, 587)
    assert f"through {POSTMARK}" in admin.get(page("relay", "changelist")).content.decode()
    kept = form_data(admin, page("relay", "change", relay))
    assert (kept["kind"], kept["backend"]) == ("backend", POSTMARK)


@pytest.mark.parametrize("backend", ["", "os.system"])
def test_any_other_backend_is_refused(admin: Client, listed: None, backend: str) -> None:
    answer = admin.post(page("relay", "add"), BACKEND_FIELDS | {"backend": backend})
    assert answer.context["adminform"].form.errors == {"backend": ["Choose a backend."]}
    assert not Relay.objects.exists()


def test_an_smtp_relay_still_needs_its_fields(admin: Client, listed: None) -> None:
    answer = admin.post(page("relay", "add"), BACKEND_FIELDS | {"kind": "smtp"})
    assert set(answer.context["adminform"].form.errors) == {"host", "port"}
    url = page("relay", "add")
    assert admin.post(url, {**FIELDS, "kind": "smtp", "password": SECRET}).status_code == 302


def test_what_the_kind_ignores_is_neither_refused_nor_warned_of(
    admin: Client, listed: None
) -> None:
    relay = factories.make_relay(from_environment=False, host="h", security="none", username="u")
    odd = {"host": "not a host", "port": "many", "username": "left over"}
    url = page("relay", "change", relay)
    answer = admin.post(url, BACKEND_FIELDS | odd, follow=True)
    relay.refresh_from_db()
    assert (relay.kind, relay.host, relay.username) == ("backend", "h", "u")
    assert not any("unencrypted" in words for words in said(answer))


def test_a_backend_that_is_gone_can_be_changed_for_something_else(
    admin: Client, settings: Any
) -> None:
    relay = factories.make_relay(kind="backend", backend=POSTMARK, from_environment=False)
    settings.MAILER_BACKENDS = []
    url = page("relay", "change", relay)
    data = form_data(admin, url)
    assert data["kind"] == "backend"
    answer = admin.post(url, data)
    assert answer.context["adminform"].form.errors == {"backend": ["Choose a backend."]}
    changed = data | {"kind": "smtp", "host": "smtp.p.example"}
    assert admin.post(url, changed).status_code == 302
    relay.refresh_from_db()
    assert relay.kind == "smtp"


def test_another_backend_ends_the_pause(
    admin: Client,
    paused: Relay,
    listed: None,
    rung: list[bool],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    url = page("relay", "change", paused)
    with django_capture_on_commit_callbacks(execute=True):
        data = form_data(admin, url) | {"kind": "backend", "backend": POSTMARK}
        assert admin.post(url, data).status_code == 302
    assert _trouble(paused) == (False, "", 0)


def test_a_viewer_sees_the_backend_and_no_form(listed: None, login: Any) -> None:
    relay = factories.make_relay(kind="backend", backend=POSTMARK, from_environment=False)
    client: Client = login("view")
    shown = client.get(page("relay", "change", relay)).content.decode()
    assert POSTMARK in shown
    assert "assword" not in shown.partition("<main")[2]
