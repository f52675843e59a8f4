"""The moment a confirmation page was made, signed into its form.

Two clicks on one page carry the same moment, so a service can take it as the key of what is asked:
"send now" at 09:00:02.123456 is one run, however often the button is pressed.
"""

from datetime import datetime, timedelta

from django.core import signing

MOMENT_LIFETIME = timedelta(hours=1)


class MomentRefused(Exception):
    """The form's moment is missing, forged, for something else, or too old: ask again."""


def sign_moment(moment: datetime, *, purpose: str) -> str:
    """Make the hidden field's value; it holds for this purpose only (action, object, person)."""
    return _signer(purpose).sign(moment.isoformat())


def read_moment(signed: str, *, purpose: str, now: datetime) -> datetime:
    """Return the aware moment that `sign_moment` was given. Raises MomentRefused."""
    try:
        moment = datetime.fromisoformat(_signer(purpose).unsign(signed))
    except (signing.BadSignature, ValueError) as error:
        raise MomentRefused(str(error)) from error
    if not timedelta(0) <= now - moment <= MOMENT_LIFETIME:
        raise MomentRefused(f"made at {moment}")
    return moment


def _signer(purpose: str) -> signing.Signer:
    return signing.Signer(salt=f"admin_ext.moment:{purpose}")
