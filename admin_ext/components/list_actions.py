"""Actions on the rows selected in a list: permitted, confirmed with the count, then run."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django_stubs_ext import StrOrPromise

from .confirm import MOMENT_FIELD, Confirmation, make_form, render_confirmation, run_with_form
from .moment import MomentRefused, read_moment
from .outcome import ActionDone, ActionRefused

Run = Callable[..., str | ActionDone]
Action = Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponseBase | None]


def confirmed_action(
    *,
    description: StrOrPromise,
    permission: str,
    question: Callable[[QuerySet[Any], int], StrOrPromise],
    button: Callable[[int], StrOrPromise],
    dangerous: bool = False,
    form_class: type[Form] | None = None,
    only: Callable[[QuerySet[Any]], QuerySet[Any]] = lambda rows: rows,
    count_may_change: bool = False,
) -> Callable[[Run], Action]:
    """Make a list action that asks first. Needs ConfirmedActionsMixin on the ModelAdmin.

    It is about `only` those of the selected rows for which it is possible. When their number has
    changed by the time it is confirmed, it asks again, unless `count_may_change` by itself.

    The method gets the moment the page was made (two clicks carry the same one) and, with a
    form_class, the form's cleaned data; it returns what to say, or raises ActionRefused::

        @confirmed_action(
            description=_("Retry…"),
            permission="mailer.retry_delivery",
            question=lambda rows, count: ngettext(
                "%(n)s delivery is sent again.", "%(n)s deliveries are sent again.", count
            ) % {"n": format_number(count)},
            button=lambda count: _("Retry %(n)s") % {"n": format_number(count)},
        )
        def retry_selected(self, request, deliveries, moment) -> str: ...
    """

    def decorate(run: Run) -> Action:
        @wraps(run)
        def action(
            model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]
        ) -> HttpResponseBase | None:
            if not request.user.has_perm(permission):
                raise PermissionDenied
            queryset = only(queryset)
            count = queryset.count()
            if not count:
                refusal = _("“%(action)s” is possible for none of what is selected.")
                words = refusal % {"action": description}
                model_admin.message_user(request, words, messages.WARNING)
                return None
            counted = "" if count_may_change else count
            purpose = f"{model_admin.opts.label}:{run.__name__}:{counted}:{request.user.pk}"
            form = make_form(form_class, request, queryset)
            warning, now = "", timezone.now()
            moment = now
            if MOMENT_FIELD in request.POST:
                try:
                    moment = read_moment(request.POST[MOMENT_FIELD], purpose=purpose, now=now)
                except MomentRefused:
                    warning = _(
                        "What was selected has changed, or this page is old. Confirm again."
                    )
                else:
                    if form is None or form.is_valid():
                        return _run(
                            model_admin, request, queryset, run=run, form=form, moment=moment
                        )
            asked = Confirmation(
                title=description,
                question=question(queryset, count),
                button=button(count),
                purpose=purpose,
                cancel_url=request.get_full_path(),
                hidden=_selection(request),
                dangerous=dangerous,
                form=form,
                warning=warning,
            )
            return render_confirmation(model_admin, request, asked, moment=moment)

        action.short_description = description  # type: ignore[attr-defined]
        action.needed_permission = permission  # type: ignore[attr-defined]
        return action

    return decorate


class ConfirmedActionsMixin(ModelAdmin[Any]):
    """Offers a confirmed action only to those who may run it; turns refusals into messages."""

    refusals: tuple[type[Exception], ...] = ()

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        offered: dict[str, Any] = super().get_actions(request)
        return {
            name: action
            for name, action in offered.items()
            if not (needed := getattr(action[0], "needed_permission", ""))
            or request.user.has_perm(needed)
        }


def _run(
    model_admin: ConfirmedActionsMixin,
    request: HttpRequest,
    queryset: QuerySet[Any],
    *,
    run: Run,
    form: Form | None,
    moment: datetime,
) -> HttpResponseBase | None:
    refusals: tuple[type[Exception], ...] = (ActionRefused, *model_admin.refusals)
    try:
        outcome = run_with_form(run, form, model_admin, request, queryset, moment)
    except refusals as refusal:
        model_admin.message_user(request, str(refusal), messages.ERROR)
        return None
    done = outcome if isinstance(outcome, ActionDone) else ActionDone(outcome)
    model_admin.message_user(request, done.message, done.level)
    return HttpResponseRedirect(done.url) if done.url else None


def _selection(request: HttpRequest) -> list[tuple[str, str]]:
    chosen = [(ACTION_CHECKBOX_NAME, pk) for pk in request.POST.getlist(ACTION_CHECKBOX_NAME)]
    index = int(request.POST.get("index") or 0)
    across = request.POST.getlist("select_across")
    return [
        ("action", request.POST.getlist("action")[index]),
        ("select_across", across[min(index, len(across) - 1)] if across else "0"),
        *chosen,
    ]
