"""What somebody may see of a page that others see more of."""

from typing import Any

from django.http import HttpRequest


def may_see_deliveries(request: HttpRequest) -> bool:
    """Whether this person sees to whom a run went; a relay's reply often repeats the address."""
    user: Any = request.user
    return bool(user.has_perm("mailer.view_delivery"))


def may_see_runs(request: HttpRequest) -> bool:
    user: Any = request.user
    return bool(user.has_perm("mailer.view_run"))


def may_see_results(request: HttpRequest) -> bool:
    user: Any = request.user
    return bool(user.has_perm("django_celery_results.view_taskresult"))
