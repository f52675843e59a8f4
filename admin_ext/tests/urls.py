from django.contrib import admin
from django.urls import path

from admin_ext.tests import toy

urlpatterns = [path("admin/", admin.site.urls), path("toy/", toy.site.urls)]
