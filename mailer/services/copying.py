"""A mailing like another one, to be changed before it sends anything."""

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from mailer.models import Mailing, MailingRelay


@transaction.atomic
def copy_mailing(mailing: Mailing) -> Mailing:
    """A new mailing with the same message, lists, relays, schedule and policies; its schedule is
    off, and it has no runs."""
    copy = Mailing.objects.get(pk=mailing.pk)
    copy.pk = None
    copy._state.adding = True  # noqa: SLF001  # Django's documented way to copy an object
    copy.name = _free_name(mailing.name)
    copy.enabled = False
    copy.next_due_at = copy.periodic_task = None
    copy.schedule_changed_at = timezone.now()
    copy.save(force_insert=True)
    copy.lists.set(mailing.lists.all())
    MailingRelay.objects.bulk_create(
        [
            MailingRelay(mailing=copy, relay_id=further.relay_id, share=further.share)
            for further in mailing.further_relays.all()
        ]
    )
    return copy


def _free_name(name: str) -> str:
    """ "Copy of Weekly news", "Copy 2 of Weekly news": the first that nobody has."""
    longest = Mailing._meta.get_field("name").max_length or 0  # noqa: SLF001
    number = 1
    while True:
        words = _("Copy of %(name)s") if number == 1 else _("Copy %(n)s of %(name)s")
        room = longest - len(words % {"n": number, "name": ""})
        found = words % {"n": number, "name": name[:room]}
        if not Mailing.objects.filter(name=found).exists():
            return found
        number += 1
