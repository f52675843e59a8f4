"""Files of a message: what may go with it, and where it is kept."""

import hashlib
import mimetypes
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from django.core.exceptions import ValidationError
from django.db import transaction
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from mailer.exceptions import NotPossible
from mailer.models import Message, MessageFile, StoredFile
from mailer.names import validate_name

LONGEST_NAME = 150  # characters
LARGEST = 10 * 2**20  # octets of one file
# Base64 makes it 20.5 MB; relays commonly take messages of 25 MB.
LARGEST_TOGETHER = 15 * 2**20
MOST = 20
IMAGE_TYPES = {
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
_IMAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_UNKNOWN = "application/octet-stream"


class AnyFile(Protocol):
    """A file that is kept, or would be."""

    @property
    def size(self) -> int: ...
    @property
    def image_name(self) -> str: ...


def check_file(*, name: str, size: int) -> None:
    """Raises NotPossible for a file that no message may have."""
    try:
        validate_name(name)
    except ValidationError as problem:
        raise NotPossible(_("The file's name: %(why)s") % {"why": problem.messages[0]}) from None
    if not name.strip() or name.strip(".") == "" or re.search(r"[/\\]", name):
        raise NotPossible(_("“%(name)s” is not a file's name.") % {"name": name})
    if len(name) > LONGEST_NAME:
        words = _("The file's name is longer than %(n)s characters. Shorten it.")
        raise NotPossible(words % {"n": LONGEST_NAME})
    if size == 0:
        raise NotPossible(_("“%(name)s” is empty.") % {"name": name})
    if size > LARGEST:
        words = _("“%(name)s” has %(size)s; a file may have %(most)s. Put a link into the message.")
        raise NotPossible(words % {"name": name, **_sizes(size, most=LARGEST)})


def check_image(*, name: str, image_name: str) -> None:
    """Raises NotPossible for a file that the HTML cannot show as cid:image_name."""
    if _ending(name) not in IMAGE_TYPES:
        words = _("“%(name)s” is no inline image: those end in %(endings)s.")
        raise NotPossible(words % {"name": name, "endings": ", ".join(IMAGE_TYPES)})
    if not _IMAGE_NAME.fullmatch(image_name):
        words = _("“%(name)s” cannot be written after cid: use letters a–z, digits, - and _ only.")
        raise NotPossible(words % {"name": image_name})


def suggest_image_name(name: str) -> str:
    """What an image may be called in the HTML: logo.png is logo; "" where nothing is left."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name.rpartition(".")[0]).strip("-")[:40]


def check_together(files: Sequence[AnyFile]) -> None:
    """Raises NotPossible for files that one message may not have together."""
    if len(files) > MOST:
        words = _("%(n)s files; a message may have %(most)s.")
        raise NotPossible(words % {"n": len(files), "most": MOST})
    together = sum(file.size for file in files)
    if together > LARGEST_TOGETHER:
        words = _("The files have %(size)s together; a message may have %(most)s.")
        raise NotPossible(words % _sizes(together, most=LARGEST_TOGETHER))
    names = Counter(file.image_name for file in files if file.image_name)
    if twice := [name for name, count in names.items() if count > 1]:
        words = _("Two images are called “%(name)s” in the HTML. Give one of them another name.")
        raise NotPossible(words % {"name": twice[0]})


@transaction.atomic
def keep_file(message: Message, *, name: str, octets: bytes, image_name: str = "") -> MessageFile:
    """Keep a file for a message's next version; an `image_name` makes it an inline image.

    Raises NotPossible.
    """
    check_file(name=name, size=len(octets))
    if image_name:
        check_image(name=name, image_name=image_name)
    sha256 = hashlib.sha256(octets).hexdigest()
    # Locked, so that forget_files() cannot take it away before the row below points to it.
    if not StoredFile.objects.select_for_update().filter(pk=sha256).exists():
        StoredFile.objects.get_or_create(sha256=sha256, defaults={"octets": octets})
    return MessageFile.objects.create(
        message=message,
        stored_id=sha256,
        kind=MessageFile.Kind.INLINE if image_name else MessageFile.Kind.ATTACHMENT,
        name=name,
        content_type=guess_type(name),
        size=len(octets),
        image_name=image_name,
    )


def guess_type(name: str) -> str:
    """A content type for a name. What the file really holds, nobody knows."""
    if known := IMAGE_TYPES.get(_ending(name)):
        return known
    kind, packed = mimetypes.guess_type(name, strict=False)
    # A message within a message must not be in base64 (RFC 2046 §5.2.1).
    if kind is None or packed or kind.startswith(("message/", "multipart/")):
        return _UNKNOWN
    return kind


def forget_files(*, now: datetime) -> int:
    """Delete contents that no message has any more; how many."""
    return StoredFile.objects.filter(files__isnull=True).defer("octets").delete()[0]


def _sizes(size: int, *, most: int) -> dict[str, str]:
    """Both in words, which differ: rounded, a size just above the limit would read like it."""
    size_words, most_words = filesizeformat(size), filesizeformat(most)
    if size_words == most_words:
        size_words = _("a little more than %(size)s") % {"size": most_words}
    return {"size": size_words, "most": most_words}


def _ending(name: str) -> str:
    _stem, dot, ending = name.rpartition(".")
    return dot + ending.lower()
