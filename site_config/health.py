"""/healthz and /readyz, for containers and load balancers.

Answered before everything else: probes come by IP address over plain HTTP, so neither the Host
header nor the way to HTTPS may stand in between, and no session is opened for them.
"""

import functools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed

from .celery import app

logger = logging.getLogger(__name__)

BROKER_SECONDS = 2  # less than any probe waits
ANSWER_SECONDS = 4  # as much as any check is waited for


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
    answers = {name: check.ask() for name, check in CHECKS.items()}  # side by side
    return _lines({name: _passes(name, answer) for name, answer in answers.items()})


class Check:
    """One question, asked in a thread of its own and one at a time; who asks meanwhile gets the
    same answer.

    A server that hangs then holds this thread alone, and none of those that answer the site.
    """

    def __init__(self, question: Callable[[], None]) -> None:
        self._question = question
        self._lock = threading.Lock()
        self._answer: Future[None] | None = None
        self._until = 0.0

    def ask(self) -> Callable[[], None]:
        """What waits for the answer. It raises what the question raised, or NotReadyError."""
        with self._lock:
            if self._answer is None or self._answer.done():
                self._answer = Future()
                self._until = time.monotonic() + ANSWER_SECONDS
                # A daemon: a question that hangs must not keep the process from ending.
                threading.Thread(target=self._find_out, args=[self._answer], daemon=True).start()
            return functools.partial(_wait, self._answer, self._until)

    def _find_out(self, answer: Future[None]) -> None:
        try:
            try:
                self._question()
            finally:
                connection.close()  # this thread's own
        except Exception as error:
            answer.set_exception(error)
        else:
            answer.set_result(None)


def _wait(answer: Future[None], until: float) -> None:
    waited = max(0.0, until - time.monotonic())
    try:
        answer.result(timeout=waited)
    except TimeoutError:
        raise NotReadyError(f"no answer within {ANSWER_SECONDS} s") from None


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


def _passes(name: str, answer: Callable[[], None]) -> bool:
    try:
        answer()
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
CHECKS = {
    "database": Check(check_database),
    "migrations": Check(check_migrations),
    "broker": Check(check_broker),
}
