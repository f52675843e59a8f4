"""Deliveries that were chosen in their list, and how a worker finds them again: by the list itself.

The query of the list is kept, not a million keys.
"""

from django.contrib.admin import site
from django.contrib.admin.views.main import ALL_VAR, ORDER_VAR, PAGE_VAR
from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict

from mailer.models import Delivery


def asked_query(request: HttpRequest) -> str | None:
    """The query of the list when all that it finds was selected; None when it was some rows."""
    if request.POST.get("select_across") != "1":
        return None
    query = request.GET.copy()
    for key in (ALL_VAR, ORDER_VAR, PAGE_VAR):
        query.pop(key, None)
    return query.urlencode()


def deliveries_of(query: str) -> QuerySet[Delivery]:
    """The deliveries that the list with this query shows, on all its pages."""
    request = HttpRequest()
    request.method = "GET"
    request.GET = QueryDict(query)
    request.user = AnonymousUser()  # whoever asked was asked for the permission then
    shown = site.get_model_admin(Delivery).get_changelist_instance(request)
    return shown.get_queryset(request)
