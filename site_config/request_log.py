"""What the log says of a refused request: one line, for anybody may ask for what they may not."""

import logging

from django.utils.encoding import escape_uri_path


class ForbiddenFilter(logging.Filter):
    """Makes of a 403's traceback who asked for what: "Forbidden: user 7, GET /admin/…"."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        if request is None or getattr(record, "status_code", None) != 403:
            return True
        user = getattr(request, "user", None)
        # Escaped, so it stays one line; without the query, which may hold an address.
        record.msg = "Forbidden: user %s, %s %s"
        record.args = (user.pk if user else None, request.method, escape_uri_path(request.path))
        record.exc_info = record.exc_text = None
        return True
