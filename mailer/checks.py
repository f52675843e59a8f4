"""What `manage.py check` says of wrong settings before a run in the night meets them.

It stops neither a worker nor a web server.
"""

import inspect
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.utils.module_loading import import_string


@register()
def check_backends(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Each of MAILER_BACKENDS is there, and is what Django calls an e-mail backend."""
    problems = ((name, _problem_of(name)) for name in settings.MAILER_BACKENDS)
    return [
        Error(
            f"MAILER_BACKENDS: {name!r} {problem}",
            hint="Install its package where workers and web run, or mend or remove its name.",
            id="mailer.E001",
        )
        for name, problem in problems
        if problem
    ]


def _problem_of(name: str) -> str:
    try:
        found = import_string(name)
    except Exception as error:  # whatever its module does
        return f"cannot be imported: {type(error).__name__}: {error}"
    if inspect.isclass(found) and callable(getattr(found, "send_messages", None)):
        return ""
    return "is not an e-mail backend: a class with a method send_messages."
