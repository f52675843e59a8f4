"""Run in the environment of a site with bench.big_tables: what each page of the admin takes.

Prints JSON, a row a page: the figure it belongs to, its address, the median of a few times in
milliseconds, and its queries. The pages are found by the admin's own register: a new list, filter,
column or action is measured without being named here.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import django
from django.urls import reverse

ROUNDS = 5
#: Of a page that is quicker than this one time suffices.
QUICK = 50
TERMS = (
    "anna.schmidt", "Anna Schmidt", "bigmail", "@bigmail.example", "company1234.", "ann", "an",
    "zqx", "maigma", "no.such.person@nowhere.example", "a%",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    figure: str
    url: str
    data: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.url + (f" {self.data['action']}" if self.data and "action" in self.data else "")


@dataclass(frozen=True, slots=True)
class Took:
    figure: str
    page: str
    milliseconds: float
    queries: int


class Admin:
    """The site as somebody sees it who may do everything."""

    def __init__(self) -> None:
        from django.contrib.auth.models import User
        from django.test import Client

        self.client = Client()
        self.user = User.objects.get(username="chief")
        self.client.force_login(self.user)

    def ask(self, page: Page) -> Any:
        ask = self.client.get if page.data is None else self.client.post
        answer = ask(page.url, page.data or {}, headers={"host": "127.0.0.1"})
        if answer.status_code not in {200, 302}:
            raise RuntimeError(f"{page.name}: {answer.status_code}")
        return answer

    def time(self, page: Page) -> Took:
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as queries:
            self.ask(page)
        took: list[float] = []
        while len(took) < ROUNDS and (len(took) != 1 or QUICK < took[0] < 3000):
            begun = time.perf_counter()
            self.ask(page)
            took.append((time.perf_counter() - begun) * 1000)
        return Took(page.figure, page.name, round(statistics.median(took), 1), len(queries))


def main() -> None:
    admin = Admin()
    rows = []
    for page in pages(admin):
        if len(sys.argv) > 1 and not re.search(sys.argv[1], page.name):
            continue
        rows.append(admin.time(page))
        print(f"{rows[-1].milliseconds:8.1f} {rows[-1].queries:3} {page.name}", file=sys.stderr)
    print(json.dumps([asdict(row) for row in rows]))


def pages(admin: Admin) -> Iterator[Page]:
    yield Page("admin_list", reverse("admin:index"))
    yield from run_pages()
    yield from searches()
    yield from lists(admin)


def run_pages() -> Iterator[Page]:
    """Those of each large run and of a single message, and what asks before something is done."""
    from django.contrib import admin as django_admin

    from mailer.models import Run

    single = Run.objects.filter(trigger=Run.Trigger.SINGLE)[:1]
    for run in [*Run.objects.filter(pk__in=large_runs()), *single]:
        for view in ("change", "live", "history"):
            yield Page("admin_run_page", reverse(f"admin:mailer_run_{view}", args=[run.pk]))
        for action in django_admin.site._registry[Run].object_actions:  # noqa: SLF001
            url = reverse(f"admin:mailer_run_do_{action.name}", args=[run.pk])
            yield Page("admin_run_page", url)
        problem = run.deliveries.filter(problem__isnull=False).values_list("problem", flat=True)
        if one := problem.first():
            url = reverse("admin:mailer_run_do_retry", args=[run.pk])
            yield Page("admin_run_page", f"{url}?problem={one}")


def searches() -> Iterator[Page]:
    from mailer.models import Recipient

    run = large_runs()[-1]
    whole = Recipient.objects.order_by("pk").values_list("address", flat=True)[777]
    for term in (*TERMS, whole, whole[:9], whole.partition("@")[0][3:]):
        for model in ("recipient", "subscription", "suppression", "delivery", "run", "audit"):
            yield _list(f"mailer_{model}", figure="admin_search", q=term)
        for state in ("pending", "failed"):
            yield _list("mailer_delivery", figure="admin_search", q=term, state__exact=state)
        yield _list("mailer_delivery", figure="admin_search", q=term, run__id__exact=run)
        yield _list("mailer_subscription", figure="admin_search", q=term, list__id__exact=2)
        yield _list("django_celery_results_taskresult", figure="admin_search", q=term)
        for field in ("recipient", "list"):
            asked = f"app_label=mailer&model_name=subscription&field_name={field}&term={term}"
            yield Page("admin_search", f"{reverse('admin:autocomplete')}?{asked}")
    yield _list("mailer_batch", figure="admin_search", q="task-777")
    yield _list("django_celery_results_taskresult", figure="admin_search", q="task-777")


def lists(admin: Admin) -> Iterator[Page]:
    """Each list whole and narrowed, by each of its filters and pairs of them, in each order and at
    its end; the pages of one of its objects; and each action on all that it shows."""
    from django.contrib import admin as django_admin

    for model, model_admin in django_admin.site._registry.items():  # noqa: SLF001
        name = f"{model._meta.app_label}_{model._meta.model_name}"  # noqa: SLF001
        for narrowed in _scopes(name):
            yield from _list_pages(admin, name, model_admin, narrowed)
        one = model_admin.get_queryset(_request(admin)).order_by("pk").first()
        views = ["history", "change", "delete"] if one else []
        for view in views:
            if view != "delete" or model_admin.has_delete_permission(_request(admin), one):
                yield Page("admin_list", reverse(f"admin:{name}_{view}", args=[one.pk]))
        if model_admin.has_add_permission(_request(admin)):
            yield Page("admin_list", reverse(f"admin:{name}_add"))


def _scopes(name: str) -> list[dict[str, Any]]:
    """What links of other pages narrow a list to."""
    if name in {"mailer_delivery", "mailer_batch"}:
        return [{}, *({"run__id__exact": run} for run in large_runs())]
    if name == "mailer_subscription":
        return [{}, {"list__id__exact": 1}, {"list__id__exact": 2}, {"list__id__exact": 21}]
    return [{}]


def _list_pages(
    admin: Admin, name: str, model_admin: Any, narrowed: dict[str, Any]
) -> Iterator[Page]:
    request = _request(admin)
    whole = _list(name, **narrowed)
    shown = admin.ask(whole).context_data["cl"]
    path = whole.url.partition("?")[0]
    once = [f"{path}{query}" for query in _choices(shown)]
    twice = [
        f"{path}{query}"
        for url in once
        for query in _choices(admin.ask(Page("", url)).context_data["cl"])
    ]
    yield whole
    yield _list(name, **narrowed, _popup=1)
    for url in dict.fromkeys((*once, *twice), True):
        yield Page("admin_list", url)
    for url in {whole.url, *once}:
        for action in model_admin.get_actions(request):
            data = {"action": action, "select_across": 1, "index": 0, "_selected_action": [1]}
            yield Page("admin_list", url, data)
    yield _list(name, **narrowed, p=shown.paginator.num_pages)
    sortable = model_admin.get_sortable_by(request)
    for place, column in enumerate(shown.list_display):
        if column in sortable and shown.get_ordering_field(column):
            yield _list(name, **narrowed, o=place)
            yield _list(name, **narrowed, o=-place)


def _choices(shown: Any) -> list[str]:
    """Of filters that are links; one that is typed into is an autocomplete, asked for above."""
    choices = (choice for spec in shown.filter_specs for choice in spec.choices(shown))
    return [choice["query_string"] for choice in choices if "query_string" in choice]


def _list(name: str, *, figure: str = "admin_list", **query: Any) -> Page:
    from django.utils.http import urlencode

    return Page(figure, f"{reverse(f'admin:{name}_changelist')}?{urlencode(query)}")


def _request(admin: Admin) -> Any:
    from django.test import RequestFactory

    request = RequestFactory().get("/")
    request.user = admin.user
    return request


def large_runs() -> list[int]:
    from mailer.models import Run

    runs = Run.objects.exclude(trigger=Run.Trigger.SINGLE)
    return list(runs.order_by("pk").values_list("pk", flat=True))


if __name__ == "__main__":
    django.setup()
    main()
