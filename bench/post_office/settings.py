"""The settings with which django-post-office was fastest here; DATABASE_URL and RELAY_PORT."""

import os
from urllib.parse import urlsplit

_database = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.path[1:],
        "USER": _database.username or "",
        "PASSWORD": _database.password or "",
        "HOST": _database.hostname or "",
        "PORT": _database.port or "",
    }
}
INSTALLED_APPS = ["django.contrib.contenttypes", "post_office"]
SECRET_KEY = "only for measuring"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
EMAIL_HOST, EMAIL_PORT = "127.0.0.1", int(os.environ["RELAY_PORT"])
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "NAME": "django"}]
POST_OFFICE = {
    "BATCH_SIZE": 4000,
    "THREADS_PER_PROCESS": 5,
    "LOG_LEVEL": 0,  # the state of each message is in its own row
}
