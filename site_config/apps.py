"""The admin's own configuration: which site is the product."""

from django.contrib.admin.apps import AdminConfig


class MailroomAdminConfig(AdminConfig):
    default_site = "site_config.admin_site.MailroomAdminSite"
