"""Which pages of the admin are asked for: by its own register, so that a new list, filter, column
or action is measured without being named here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin as django_admin
from django.urls import reverse
from django.utils.http import urlencode

from bench.admin_pages import Admin, Page
from mailer.models import Mailing, Recipient, Run

TERMS = (
    "anna.schmidt", "Anna Schmidt", "bigmail", "@bigmail.example", "@company12.example",
    "company1234.", "ann", "an", "zqx", "maigma", "no.such.person@nowhere.example", "a%",
)  # fmt: skip
#: Counts, exactly, to whom it goes, before it goes there.
NOT_ASKED = {(Mailing, "send_selected")}


def pages(admin: Admin) -> Iterator[Page]:
    yield Page("admin_list", reverse("admin:index"))
    yield from run_pages()
    yield from searches()
    for model, model_admin in django_admin.site._registry.items():  # noqa: SLF001
        yield from List(admin, model, model_admin).pages()


def run_pages() -> Iterator[Page]:
    """Those of each large run and of a single message, and what asks before something is done."""
    single = Run.objects.filter(trigger=Run.Trigger.SINGLE)[:1]
    actions: Any = django_admin.site._registry[Run]  # noqa: SLF001
    for run in [*Run.objects.filter(pk__in=large_runs()), *single]:
        for view in ("change", "live", "history"):
            yield Page("admin_run_page", reverse(f"admin:mailer_run_{view}", args=[run.pk]))
        for action in actions.object_actions:
            url = reverse(f"admin:mailer_run_do_{action.name}", args=[run.pk])
            yield Page("admin_run_page", url)
        failed = run.deliveries.filter(notable_state="failed").order_by("problem", "seq")
        if one := failed.values_list("problem", flat=True).first():
            url = reverse("admin:mailer_run_do_retry", args=[run.pk])
            yield Page("admin_run_page", f"{url}?{urlencode({'problem': one})}")


def searches() -> Iterator[Page]:
    run = large_runs()[-1]
    whole = Recipient.objects.order_by("pk").values_list("address", flat=True)[777]
    for term in (*TERMS, whole, whole[:9], whole.partition("@")[0][3:]):
        for model in ("recipient", "subscription", "suppression", "delivery", "run", "audit"):
            yield _list(f"mailer_{model}", figure="admin_search", q=term)
        for state in ("pending", "failed"):
            yield _list("mailer_delivery", figure="admin_search", q=term, state__exact=state)
            in_run = {"run__id__exact": run, "state__exact": state}
            yield _list("mailer_delivery", figure="admin_search", q=term, **in_run)
        yield _list("mailer_delivery", figure="admin_search", q=term, run__id__exact=run)
        yield _list("mailer_subscription", figure="admin_search", q=term, list__id__exact=2)
        yield _list("django_celery_results_taskresult", figure="admin_search", q=term)
        for field in ("recipient", "list"):
            asked = {"app_label": "mailer", "model_name": "subscription", "field_name": field}
            url = f"{reverse('admin:autocomplete')}?{urlencode(asked | {'term': term})}"
            yield Page("admin_search", url)
    for model in ("mailer_batch", "django_celery_results_taskresult"):
        yield _list(model, figure="admin_search", q="task-777")


class List:
    """The pages of one model."""

    def __init__(self, admin: Admin, model: Any, model_admin: Any) -> None:
        self._admin = admin
        self._model = model
        self._model_admin = model_admin
        self._name = f"{model._meta.app_label}_{model._meta.model_name}"  # noqa: SLF001

    def pages(self) -> Iterator[Page]:
        """Its list, whole and narrowed as links of other pages narrow it; the pages of one or two
        of its objects."""
        for narrowed in self._scopes():
            yield from self._list_pages(narrowed)
        request = self._admin.request
        for one in self._model_admin.get_queryset(request).order_by("pk")[:2]:
            for view in ("history", "change", "delete"):
                if view != "delete" or self._model_admin.has_delete_permission(request, one):
                    url = reverse(f"admin:{self._name}_{view}", args=[one.pk])
                    yield Page("admin_list", url)
        if self._model_admin.has_add_permission(request):
            yield Page("admin_list", reverse(f"admin:{self._name}_add"))

    def _scopes(self) -> list[dict[str, Any]]:
        if self._name in {"mailer_delivery", "mailer_batch"}:
            return [{}, *({"run__id__exact": run} for run in large_runs())]
        if self._name == "mailer_subscription":
            return [{}, *({"list__id__exact": one} for one in (1, 2, 21))]
        return [{}]

    def _list_pages(self, narrowed: dict[str, Any]) -> Iterator[Page]:
        """By each of its filters and pairs of them, in each order and at its end, and chosen from a
        pop-up; each action on all that it shows."""
        whole = _list(self._name, **narrowed)
        shown = self._admin.ask(whole).context_data["cl"]
        once = self._filtered(whole.url)
        twice = [url for first in once for url in self._filtered(first)]
        for url in dict.fromkeys((whole.url, *once, *twice)):
            yield Page("admin_list", url)
        yield _list(self._name, **narrowed, _popup=1)
        yield _list(self._name, **narrowed, p=shown.paginator.num_pages)
        for action in self._model_admin.get_actions(self._admin.request):
            if (self._model, action) not in NOT_ASKED:
                for url in dict.fromkeys((whole.url, *once)):
                    yield Page("admin_list", url, action)
        for place, column in enumerate(shown.list_display):
            if column in shown.sortable_by and shown.get_ordering_field(column):
                yield _list(self._name, **narrowed, o=place)
                yield _list(self._name, **narrowed, o=-place)

    def _filtered(self, url: str) -> list[str]:
        """The addresses behind each choice of each filter on this page."""
        shown = self._admin.ask(Page("", url)).context_data["cl"]
        path = url.partition("?")[0]
        choices = (choice for spec in shown.filter_specs for choice in spec.choices(shown))
        # One filter is a field to look for one of many, and has no list of them.
        return [f"{path}{one['query_string']}" for one in choices if "query_string" in one]


def _list(name: str, *, figure: str = "admin_list", **query: Any) -> Page:
    return Page(figure, f"{reverse(f'admin:{name}_changelist')}?{urlencode(query)}")


def large_runs() -> list[int]:
    runs = Run.objects.exclude(trigger=Run.Trigger.SINGLE)
    return list(runs.order_by("pk").values_list("pk", flat=True))
