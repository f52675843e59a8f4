"""What is said of placeholders that people lack."""

from collections.abc import Mapping

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from admin_ext.components.numbers import format_number
from mailer.models import Mailing
from mailer.services.placeholders import count_lacking, unknown_placeholders


def warnings_of_unknown(content: Mapping[str, str]) -> list[str]:
    """A sentence for each placeholder of a message's content that no recipient has."""
    found = unknown_placeholders(content[part] for part in ("subject", "html", "text"))
    return [_warning(name, meant) for name, meant in found.items()]


def lacking_in_words(mailing: Mailing) -> list[str]:
    """A sentence for each placeholder that some of those a mailing goes to now lack."""
    version = mailing.message.current
    return [
        ngettext(
            "%(n)s of them lacks “%(name)s”; where the message needs it, it fails.",
            "%(n)s of them lack “%(name)s”; where the message needs it, it fails.",
            count,
        )
        % {"n": format_number(count), "name": name}
        for name, count in (count_lacking(mailing, version) if version else {}).items()
    ]


def _warning(name: str, meant: str) -> str:
    if meant:
        words = _("No recipient has “%(name)s” at present. Perhaps “%(meant)s” is meant.")
        return words % {"name": name, "meant": meant}
    words = _("No recipient has “%(name)s” at present; without a default, the message fails.")
    return words % {"name": name}
