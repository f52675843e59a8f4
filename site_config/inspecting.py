"""What a worker tells of its settings, to `celery inspect conf` and Flower.

Celery's own answer holds all of Django's settings, CELERY_BROKER_URL with its password among them.
"""

from typing import Any

from celery.app.defaults import DEFAULTS
from celery.app.utils import filter_hidden_settings
from celery.utils.saferepr import saferepr
from celery.utils.serialization import jsonify, strtobool
from celery.worker.control import inspect_command


@inspect_command(
    name="conf",
    alias="dump_conf",
    signature="[include_defaults=False]",
    args=[("with_defaults", strtobool)],
)
def tell_settings(state: Any, with_defaults: bool = False, **_: Any) -> Any:
    """Celery's own settings; passwords in addresses are masked."""
    conf = state.app.conf
    told = {
        name: conf[name]
        for name, default in DEFAULTS.items()
        if with_defaults or conf[name] != default
    }
    return jsonify(filter_hidden_settings(told), unknown_type_filter=saferepr)
