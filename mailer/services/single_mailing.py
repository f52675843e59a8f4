"""The mailing that a message's single messages belong to: made when the first one is sent."""

from itertools import count

from django.utils.translation import gettext as _

from mailer.exceptions import NotPossible
from mailer.models import Mailing, Message

from .testing import default_relay

#: What nobody waits for any more: a login code of yesterday helps nobody.
EXPIRES_AFTER_HOURS = 24


def single_mailing(message: Message) -> Mailing:
    """The message's one; its relay and the like are changed on its page. Raises NotPossible."""
    found = Mailing.objects.filter(message=message, is_single=True).select_related("relay").first()
    return found or _make(message)


def _make(message: Message) -> Mailing:
    relay = default_relay(message)
    if relay is None:
        raise NotPossible(_("There is no relay yet. Add one, then send."))
    # Of two who make it at once, one gets the other's.
    mailing, _made = Mailing.objects.get_or_create(
        message=message,
        is_single=True,
        defaults={
            "name": _free_name(message),
            "relay": relay,
            "urgent": True,
            "expires_after_hours": EXPIRES_AFTER_HOURS,
            "breaker_percent": None,  # it counts a run's refusals, and this run has one recipient
        },
    )
    return mailing


def _free_name(message: Message) -> str:
    """The message's name; with a number behind it while another mailing has that."""
    names = (message.name if n == 1 else f"{message.name[:112]} ({n})" for n in count(1))
    return next(name for name in names if not Mailing.objects.filter(name=name).exists())
