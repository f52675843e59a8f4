"""/healthz and /readyz, for containers and load balancers.

Answered before everything else: probes come by IP address over plain HTTP, so neither the Host
header nor the way to HTTPS may stand in between, and no session is opened for them.
"""

import functools
import logging
from collections.abc import Callable

from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed

from .celery import app

logger = logging.getLogger(__name__)

BROKER_SECONDS = 2  # less than any probe waits


class NotReadyError(Exception):
    """A server answers, and the site cannot work with it yet."""


class HealthMiddleware:
    """First of all middleware; passes on what is not asked of it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        view = VIEWS.get(request.path_info)
        if view is None:
            return self._get_response(request)
        asked = request.method in {"GET", "HEAD"}
        response = view() if asked else HttpResponseNotAllowed(["GET", "HEAD"])
        response["Cache-Control"] = "no-store"
        response["X-Content-Type-Options"] = "nosniff"
        return response


def answer_alive() -> HttpResponse:
    """200: the process answers. Needs nothing, so that a database that is away restarts nobody."""
    return _lines({"alive": True})


def answer_ready() -> HttpResponse:
    """200 when the site can do its work, 503 when not; a line for each check."""
    return _lines({name: _passes(name, check) for name, check in CHECKS.items()})


def check_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def check_migrations() -> None:
    """Raises NotReadyError before `migrate` has done its work: code and tables do not match."""
    applied = MigrationRecorder(connection).applied_migrations()
    if missing := sorted(_last_migrations() - applied.keys()):
        raise NotReadyError(f"not migrated to {'.'.join(missing[0])}")


def check_broker() -> None:
    """Connects anew: a connection of the pool may be one that its server has forgotten."""
    options = {}
    if settings.CELERY_BROKER_URL.startswith("redis"):  # it does not heed connect_timeout
        options = {"socket_connect_timeout": BROKER_SECONDS, "socket_timeout": BROKER_SECONDS}
    with app.connection_for_write(
        connect_timeout=BROKER_SECONDS, transport_options=options
    ) as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_SECONDS)


@functools.cache
def _last_migrations() -> frozenset[tuple[str, str]]:
    """Of each app; reading them all takes longer than everything else here."""
    return frozenset(MigrationLoader(None).graph.leaf_nodes())


def _passes(name: str, check: Callable[[], None]) -> bool:
    try:
        check()
    except Exception as error:
        # For the log alone: it may name hosts, users and tables.
        logger.warning("Not ready, %s: %s", name, error)
        return False
    return True


def _lines(results: dict[str, bool]) -> HttpResponse:
    text = "".join(f"{name}: {'ok' if passed else 'failed'}\n" for name, passed in results.items())
    status = 200 if all(results.values()) else 503
    return HttpResponse(text, content_type="text/plain; charset=utf-8", status=status)


VIEWS = {"/healthz": answer_alive, "/readyz": answer_ready}
CHECKS = {"database": check_database, "migrations": check_migrations, "broker": check_broker}
