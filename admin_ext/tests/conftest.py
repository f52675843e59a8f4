"""Fixtures: a Celery application, users with one permission each, and an admin to act in."""

import os
from collections.abc import Callable, Iterator

import pytest
from celery import Celery, _state
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission, User
from django.test import Client

from admin_ext import registry
from admin_ext.tests.celery_app import app as test_app


@pytest.fixture(autouse=True)
def _own_urls(settings: pytest.FixtureRequest) -> None:
    settings.ROOT_URLCONF = "admin_ext.tests.urls"


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_tasks", {})
    monkeypatch.setattr(registry, "_owners", [])
    monkeypatch.setattr(registry, "_owner_relations", [])


@pytest.fixture
def app() -> Iterator[Celery]:
    """The tests' application as the current one, whatever the project's is."""
    before = _state._get_current_app()
    test_app.set_current()
    yield test_app
    before.set_current()


@pytest.fixture
def eager(app: Celery) -> Iterator[Celery]:
    app.conf.task_always_eager = True
    yield app
    app.conf.task_always_eager = False


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    def make(*permissions: str, superuser: bool = False) -> User:
        number = get_user_model().objects.count()
        user = get_user_model().objects.create_user(
            f"staff{number}", password="x", is_staff=True, is_superuser=superuser
        )
        for permission in permissions:
            label, codename = permission.split(".")
            user.user_permissions.add(
                Permission.objects.get(content_type__app_label=label, codename=codename)
            )
        return user

    return make


@pytest.fixture
def client_for(make_user: Callable[..., User]) -> Callable[..., Client]:
    """A browser of somebody with these permissions; `superuser=True` for all."""

    def make(*permissions: str, superuser: bool = False) -> Client:
        client = Client()
        client.force_login(make_user(*permissions, superuser=superuser))
        return client

    return make


@pytest.fixture
def database_url(transactional_db: None) -> str:
    """Where real workers find this test's database."""
    from django.db import connection

    if connection.vendor == "sqlite":
        return f"sqlite:///{connection.settings_dict['NAME']}"
    at = connection.settings_dict
    return f"postgres://{at['USER']}:{at['PASSWORD']}@{at['HOST']}:{at['PORT']}/{at['NAME']}"


@pytest.fixture
def process_environment(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "admin_ext.tests.settings",
        "DATABASE_URL": database_url,
        "ADMIN_EXT_TEST_BROKER": str(tmp_path_factory.mktemp("broker")),
        "ADMIN_EXT_TEST_HEARTBEAT": "0.3",
        "ADMIN_EXT_TEST_LEASE": "2",
        "PYTHONWARNINGS": "ignore",
    }
