"""Relays: the mail servers and services that mail leaves through."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from admin_ext.components.badges import badge
from admin_ext.components.change_list import CarefulListMixin
from admin_ext.components.history import WHO, HistoryMixin, note_change
from admin_ext.components.numbers import format_number
from admin_ext.components.object_actions import ObjectAction, ObjectActionsMixin
from admin_ext.components.times import relative_time
from mailer.models import Batch, Mailing, MailingRelay, Relay, Run
from mailer.services.limits import warm_up_days, warm_up_plan
from mailer.services.relays import resume_relay
from mailer.services.reserving import stop_waiting
from mailer.tasks import ring_after_commit

from .deletion import GuardedDeletionMixin
from .editable import editable_fields
from .limit_words import LIMITS, clock_time
from .relay_form import LIMITS as LIMITS_FIELDS
from .relay_form import RelayForm

WARM_UP_SHOWN, LONGEST_PLAN = 7, 36_500  # days
#: Its password is the form's, too.
RELAY_FIELDS = [*editable_fields(Relay), "password_encrypted"]


def _try_now(request: HttpRequest, relay: Relay, moment: datetime) -> str:
    words = _("“%(relay)s” is tried again now.") % {"relay": relay}
    with transaction.atomic():
        resume_relay(relay.pk)
        note_change(request, relay, _("%(who)s had it tried again at once.") % {"who": WHO})
        ring_after_commit()
    return words


TRY_NOW = ObjectAction(
    name="try_now",
    label=gettext_lazy("Try now"),
    permission="mailer.change_relay",
    question=lambda relay: (
        _(
            "Mail through it goes on at once. If it still fails, it is paused again.\nWhy it is"
            " paused: %(reason)s"
        )
        % {"reason": relay.pause_reason or "—"}
    ),
    run=_try_now,
    available=lambda relay: relay.is_paused(now=timezone.now()),
    why_not=lambda relay: _("“%(relay)s” is not paused.") % {"relay": relay},
)


def _limit(number: float) -> str:
    return format_number(int(number) if number == int(number) else number)


@admin.register(Relay)
class RelayAdmin(
    ObjectActionsMixin,
    HistoryMixin,
    GuardedDeletionMixin,
    CarefulListMixin,
    admin.ModelAdmin[Relay],
):
    list_display = ("name", "server", "state", "rates", "connections")
    ordering = ("name",)
    search_fields = ("name", "host", "backend")
    when_empty = gettext_lazy(
        "No relay yet. Mail leaves through one: a mail server that your provider or your own"
        " IT gives you an address and a login for."
    )
    form = RelayForm
    when_deleted = gettext_lazy("No mailing leaves through it, and none ever did.")
    object_actions = (TRY_NOW,)
    #: Neither its user name nor its password.
    history_values = (
        "name", "kind", "backend", "from_environment", "host", "port", "security", "connections",
        *sorted(LIMITS_FIELDS),
    )  # fmt: skip
    readonly_fields = ("environment", "state", "warm_up_plan")
    fieldsets = (
        (None, {"fields": ("name", "state")}),
        (
            gettext_lazy("Server"),
            {
                "fields": (
                    "kind", "backend", "from_environment", "environment", ("host", "port"),
                    "security", "username", "password", "forget_password",
                )
            },
        ),
        (
            gettext_lazy("How fast"),
            {
                "fields": (
                    ("rate_per_second", "rate_per_minute", "rate_per_hour", "rate_per_day"),
                    "connections",
                ),
                "description": gettext_lazy(
                    "At most so many messages, over all runs and workers, in any second, minute,"
                    " hour or day. Empty: as fast as the relay takes them."
                ),
            },
        ),
        (
            gettext_lazy("Warm-up"),
            {
                "fields": (
                    "warm_up_from", ("warm_up_first", "warm_up_factor", "warm_up_full"),
                    "warm_up_plan",
                ),
                "description": gettext_lazy(
                    "A server that is new to the world is trusted little by little: it sends few"
                    " messages on its first day, and more each day until it is known."
                ),
            },
        ),
    )  # fmt: skip

    class Media:
        js = ("mailer/relay.js",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Without the password where it cannot be changed: there is nothing to show of it. Without
        the kind where there is nothing to choose."""
        fieldsets = super().get_fieldsets(request, obj)
        writable = self.has_change_permission(request, obj) if obj else True
        hidden = set() if writable else {"password", "forget_password"}
        if obj is None or not obj.password_encrypted:
            hidden.add("forget_password")
        if not settings.MAILER_BACKENDS and (obj is None or obj.kind == Relay.Kind.SMTP):
            hidden |= {"kind", "backend"}
        return [
            (title, {**options, "fields": [f for f in options["fields"] if f not in hidden]})
            for title, options in fieldsets
        ]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        # Of a row that workers write to at the same time, only what the form is about.
        obj.save(update_fields=RELAY_FIELDS if change else None)
        if change and form.connection_changed:
            # It was paused for what has been put right: nobody should have to wait for it.
            with transaction.atomic():
                resume_relay(obj.pk)
                ring_after_commit()
        if change and form.limits_changed:
            with transaction.atomic():
                stop_waiting(obj.pk)
                ring_after_commit()
        in_the_clear = obj.security == Relay.Security.NONE and not obj.from_environment
        if obj.username and in_the_clear and obj.kind == Relay.Kind.SMTP:
            words = _(
                "The user name and password of “%(relay)s” leave unencrypted, because its security"
                " is “none”: anybody on the way can read them."
            )
            self.message_user(request, words % {"relay": obj}, messages.WARNING)

    def why_not_delete(self, obj: Any) -> str:
        used = any(
            model.objects.filter(relay=obj).exists()
            for model in (Mailing, MailingRelay, Run, Batch)
        )
        if not used:
            return ""
        return _("“%(relay)s” has carried mail or is chosen in a mailing, so it is kept.") % {
            "relay": obj
        }

    @admin.display(description=gettext_lazy("server"))
    def server(self, relay: Relay) -> str:
        if relay.kind == Relay.Kind.BACKEND:
            return _("through %(backend)s") % {"backend": relay.backend}
        if relay.from_environment:
            return _("%(server)s (from the environment)") % {"server": self.environment(relay)}
        return f"{relay.host}:{relay.port}"

    @admin.display(description=gettext_lazy("RELAY_URL says"))
    def environment(self, relay: Relay) -> str:
        return f"{settings.RELAY_URL.host}:{settings.RELAY_URL.port}"  # never its login

    @admin.display(description=gettext_lazy("state"))
    def state(self, relay: Relay) -> SafeString:
        now = timezone.now()
        if not relay.is_paused(now=now):
            return self._in_use(relay, now=now)
        words = _("tried again %(when)s") % {
            "when": relative_time(relay.paused_until, now=now) if relay.paused_until else "—"
        }
        return format_html("{} {} · {}", badge("paused", _("Paused")), words, relay.pause_reason)

    def _in_use(self, relay: Relay, *, now: datetime) -> SafeString:
        if relay.is_slow(now=now):
            words = _("answers slowly; one process is kept for other relays until %(time)s")
            words %= {"time": clock_time(relay.slow_until, now=now)}
            return format_html("{} {}", badge("deferred", _("Slow")), words)
        if not relay.waits(now=now):
            return badge("good", _("In use"))
        limit = LIMITS.get(relay.waits_for, LIMITS["second"]) % {"relay": relay}
        until = clock_time(relay.waits_until, now=now)
        words = _("waits for %(limit)s until %(time)s") % {"limit": limit, "time": until}
        return format_html("{} {}", badge("deferred", _("Waiting")), words)

    @admin.display(description=gettext_lazy("at most"))
    def rates(self, relay: Relay) -> str:
        rates = [
            (relay.rate_per_second, _("%(n)s/s")),
            (relay.rate_per_minute, _("%(n)s/min")),
            (relay.rate_per_hour, _("%(n)s/h")),
            (relay.rate_per_day, _("%(n)s/day")),
        ]
        return " · ".join(words % {"n": _limit(n)} for n, words in rates if n) or "—"

    @admin.display(description=gettext_lazy("the plan"))
    def warm_up_plan(self, relay: Relay) -> str:
        """The first days, and when it is through."""
        try:
            days, plan = warm_up_days(relay), warm_up_plan(relay, days=WARM_UP_SHOWN)
        except OverflowError:  # a day that was refused just now
            return "—"
        if not plan or relay.warm_up_from is None:
            return _("No warm-up.") if relay.pk else _("Save it to see it.")
        shown = [
            _("%(date)s: %(n)s") % {"date": date_format(day, "j M"), "n": format_number(number)}
            for day, number in plan
        ]
        if days > len(plan):
            shown.append("…")
        end = date_format(relay.warm_up_from + timedelta(days=min(days, LONGEST_PLAN)), "j M Y")
        return _("%(days)s; from %(end)s on only the limits above hold.") % {
            "days": " · ".join(shown),
            "end": end,
        }
