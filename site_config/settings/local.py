"""One machine, no server to install: SQLite, files for a broker, an inbox for a relay."""

import os

from site_config.local_environment import load_local_environment

load_local_environment(os.environ)

from .base import *  # noqa: E402
from .environment import read_switch  # noqa: E402

# --- Local settings only ---------------------------------------------------------------------
# `1` shows whoever asks the inside of every error.
DEBUG = read_switch("DEBUG")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Served by whitenoise straight from the apps: nothing to collect.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
STATIC_ROOT = None  # nothing is collected here
