"""Buttons on an object's page: each asks first, is run by POST only, and says what it did."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods
from django_stubs_ext import StrOrPromise

from .confirm import MOMENT_FIELD, Confirmation, make_form, render_confirmation, run_with_form
from .list_actions import ConfirmedActionsMixin
from .moment import MomentRefused, read_moment
from .outcome import ActionDone, ActionRefused


def always(obj: Any) -> bool:
    """The action can be done whatever state the object is in."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectAction:
    """One button::

        ObjectAction(
            name="pause",
            label=_("Pause"),
            permission="mailer.control_run",
            question=lambda run: _("Mail that is not sent yet waits until you resume."),
            run=lambda request, run, moment: pause(run, by=request.user, now=moment),
            available=lambda run: run.state == RunState.SENDING,
        )

    `run` gets (request, object, moment), and the form's cleaned data as a fourth when there is a
    `form_class` (an ObjectForm knows the object). It returns the sentence to show, or an
    ActionDone with a URL of its own; it raises ActionRefused, or one of the ModelAdmin's
    `refusals`, when it was not done. `question` raises them when there is nothing to ask. `label`
    is also the button's words on the confirmation page unless `button` says more ("Retry 20
    deliveries").
    """

    name: str
    label: StrOrPromise
    permission: str
    question: Callable[[Any], StrOrPromise]
    run: Callable[..., str | ActionDone]
    available: Callable[[Any], bool] = always
    #: Why it is not available, as a sentence.
    why_not: Callable[[Any], StrOrPromise] = lambda obj: ""
    button: Callable[[Any], StrOrPromise] | None = None
    dangerous: bool = False
    form_class: type[Form] | None = None


class ObjectActionsMixin(ConfirmedActionsMixin):
    """Adds `object_actions` to a ModelAdmin; includes what confirmed list actions need."""

    object_actions: Sequence[ObjectAction] = ()
    change_form_template = "admin_ext/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<path:object_id>/do/{action.name}/",
                self.admin_site.admin_view(partial(self._object_action_view, action=action)),
                name=self._url_name(action),
            )
            for action in self.object_actions
        ]
        # Before the stock ones, whose last pattern takes every path for an object's id.
        return [*own, *super().get_urls()]

    def _url_name(self, action: ObjectAction) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_do_{action.name}"

    def get_object_actions(self, request: HttpRequest, obj: Any) -> list[ObjectAction]:
        """The actions this person may run on this object as it is now."""
        return [
            action
            for action in self.object_actions
            if request.user.has_perm(action.permission) and action.available(obj)
        ]

    def object_in_words(self, obj: Any) -> str:
        """The heading of its confirmation pages."""
        return str(obj)

    def object_action_url(self, action: ObjectAction, obj: Any) -> str:
        """The address of the action's confirmation page."""
        return reverse(
            f"admin:{self._url_name(action)}",
            args=[quote(obj.pk)],
            current_app=self.admin_site.name,
        )

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        obj = kwargs.get("obj")
        context["object_actions"] = (
            []
            if obj is None
            else [
                (action, self.object_action_url(action, obj))
                for action in self.get_object_actions(request, obj)
            ]
        )
        return super().render_change_form(request, context, *args, **kwargs)

    @property
    def _refused(self) -> tuple[type[Exception], ...]:
        return (ActionRefused, *self.refusals)

    def _object_action_view(
        self, request: HttpRequest, object_id: str, *, action: ObjectAction
    ) -> HttpResponseBase:
        return require_http_methods(["GET", "POST"])(self._answer)(request, object_id, action)

    def _answer(
        self, request: HttpRequest, object_id: str, action: ObjectAction
    ) -> HttpResponseBase:
        obj = self.get_object(request, unquote(object_id))
        if not (
            request.user.has_perm(action.permission) and self.has_view_permission(request, obj)
        ):
            raise PermissionDenied
        if obj is None:
            raise Http404(_("It does not exist any more."))
        page = reverse(
            f"admin:{self.opts.app_label}_{self.opts.model_name}_change",
            args=[quote(obj.pk)],
            current_app=self.admin_site.name,
        )
        if not action.available(obj):
            self._tell_why_not(request, action, obj)
            return HttpResponseRedirect(page)
        purpose = f"{self.opts.label}:{obj.pk}:{action.name}:{request.user.pk}"
        form = make_form(action.form_class, request, obj)
        warning, now = "", timezone.now()
        moment = now
        if request.method == "POST":
            try:
                moment = read_moment(request.POST.get(MOMENT_FIELD, ""), purpose=purpose, now=now)
            except MomentRefused:
                warning = _("This page is more than an hour old. Confirm again.")
            else:
                if form is None or form.is_valid():
                    return HttpResponseRedirect(
                        self._run_action(request, action, form, obj, moment) or page
                    )
        try:
            question = action.question(obj)
        except self._refused as refusal:
            self.message_user(request, str(refusal), messages.WARNING)
            return HttpResponseRedirect(page)
        asked = Confirmation(
            title=action.label,
            question=question,
            button=action.button(obj) if action.button else action.label,
            purpose=purpose,
            cancel_url=page,
            dangerous=action.dangerous,
            form=form,
            about=self.object_in_words(obj),
            warning=warning,
        )
        return render_confirmation(self, request, asked, moment=moment)

    def _tell_why_not(self, request: HttpRequest, action: ObjectAction, obj: Any) -> None:
        # A mere look at the page is no try: perhaps it is the way back from having done it.
        if tried := request.method == "POST":
            words = _("“%(action)s” was not done: it is not possible now, or done already.")
        else:
            words = _("“%(action)s” is not possible now.")
        said = f"{words % {'action': action.label}} {action.why_not(obj)}".strip()
        self.message_user(request, said, messages.WARNING if tried else messages.INFO)

    def _run_action(
        self,
        request: HttpRequest,
        action: ObjectAction,
        form: Form | None,
        obj: Any,
        moment: datetime,
    ) -> str:
        try:
            outcome = run_with_form(action.run, form, request, obj, moment)
        except self._refused as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return ""
        done = outcome if isinstance(outcome, ActionDone) else ActionDone(outcome)
        self.message_user(request, done.message, done.level)
        return done.url
