"""The admin as the product: its navigation by what people do, and a home that says what is on."""

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

#: Each group with its models in their order; a model that is in none comes last, under its app.
NAVIGATION = (
    ("mail", _("Mail"), ("mailer.Mailing", "mailer.Message", "mailer.Run", "mailer.Delivery")),
    (
        "people",
        _("People"),
        ("mailer.MailingList", "mailer.Recipient", "mailer.Subscription", "mailer.Suppression"),
    ),
    (
        "engine-room",
        _("Engine room"),
        (
            "django_celery_results.TaskResult",
            "django_celery_beat.PeriodicTask",
            "django_celery_beat.CrontabSchedule",
            "django_celery_beat.IntervalSchedule",
            "mailer.Batch",
            "mailer.Relay",
            "mailer.DomainLimit",
        ),
    ),
    ("site", _("Site"), ("auth.User", "auth.Group", "mailer.Audit")),
)


class MailroomAdminSite(AdminSite):
    site_header = site_title = _("Mailroom")
    index_title = _("Home")
    site_url = None  # there is no other site to view
    empty_value_display = "—"

    def get_app_list(
        self, request: HttpRequest, app_label: str | None = None
    ) -> list[dict[str, Any]]:
        """What one may see, in NAVIGATION's groups."""
        apps = super().get_app_list(request, app_label)
        models = {
            f"{app['app_label']}.{model['object_name']}": model
            for app in apps
            for model in app["models"]
        }
        groups = [
            {
                "name": name,
                "app_label": slug,
                "app_url": f"{reverse('admin:index', current_app=self.name)}#{slug}",
                "has_module_perms": True,
                "models": [models.pop(label) for label in labels if label in models],
            }
            for slug, name, labels in NAVIGATION
        ]
        rest = [
            {**app, "models": [model for model in app["models"] if model in models.values()]}
            for app in apps
        ]
        return [group for group in [*groups, *rest] if group["models"]]

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        from mailer.admin.home import describe_home  # the models are loaded by now

        return super().index(request, {**describe_home(request), **(extra_context or {})})

    def app_index(  # type: ignore[override]
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseRedirect:
        """Apps are nothing that staff know: Home has everything."""
        return HttpResponseRedirect(reverse("admin:index", current_app=self.name))
