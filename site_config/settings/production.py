"""Production: everything from the environment, HTTPS only."""

from .base import *
from .environment import read_switch

# --- Production settings only ----------------------------------------------------------------
# `0` answers plain HTTP, too; as it is, HTTP is sent on to HTTPS.
SECURE_SSL_REDIRECT = read_switch("SECURE_SSL_REDIRECT", default=True)
# The proxy in front says that the visitor came by HTTPS; it must set this header itself.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# `0` binds the site's own host alone. As it is, browsers that were here ask for HTTPS on every
# subdomain of it as well, for a year.
SECURE_HSTS_INCLUDE_SUBDOMAINS = read_switch("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=True)
SECURE_HSTS_SECONDS = 31_536_000
SECURE_HSTS_PRELOAD = SECURE_HSTS_INCLUDE_SUBDOMAINS
# Of a site that is tried by plain HTTP (BASE_URL says so), a browser would keep no secure cookie.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BASE_URL.startswith("https://")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
