"""Names as people see them: on one line, and without what would reorder the text around them."""

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

#: Embeddings, overrides and isolates: after one of them, "run 14" may read "41 nur".
_DIRECTIONS = "\u202a-\u202e\u2066-\u2069"
_NOT_IN_A_NAME = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029{_DIRECTIONS}]")


def validate_name(value: str) -> None:
    """Raises ValidationError. Marks of languages written from right to left are possible."""
    if _NOT_IN_A_NAME.search(value):
        raise ValidationError(_("Line breaks and control characters are not possible here."))


def drop_directions(name: str) -> str:
    """A name from elsewhere without the characters that reorder text."""
    return re.sub(f"[{_DIRECTIONS}]", "", name)
