"""Files in a message: encoded once for a whole run, so that a recipient costs a join of bytes."""

from __future__ import annotations

import re
from base64 import encodebytes
from dataclasses import dataclass
from unicodedata import normalize
from urllib.parse import quote

from mailer.engine.headers import refuse_breaks

_SUBTYPE = r"[A-Za-z0-9!#$&^_.+\-]+"
_CONTENT_TYPE = re.compile(rf"{_SUBTYPE}/{_SUBTYPE}")
# Base64 is forbidden to them (RFC 2045 §6.4), and some readers fetch what such a part points to.
_COMPOSITE = ("multipart/", "message/")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+"
_CONTENT_ID = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_ATOM}(?:\.{_ATOM})*")
_QUOTABLE = re.compile(r"[ !#-\[\]-~]{1,900}")  # printable ASCII without " and \
_SECTION = 50  # octets of a name's piece, so that its line keeps within 78 (RFC 2231 §3)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file as it is. `content_id`, "name@domain", makes it an inline image: cid: in the HTML."""

    name: str
    content_type: str
    content: bytes
    content_id: str = ""


@dataclass(frozen=True, slots=True)
class EncodedFile:
    """A MIME entity in base64, its CRLF at the end included."""

    entity: bytes
    inline: bool


def encode_file(attachment: Attachment) -> EncodedFile:
    """Make a MIME entity of a file. Raises ValueError for a name or type that cannot be written."""
    kind, inline = attachment.content_type.lower(), bool(attachment.content_id)
    if not _CONTENT_TYPE.fullmatch(kind) or kind.startswith(_COMPOSITE):
        raise ValueError(f"{attachment.content_type[:60]!r} is not the type of a file")
    if inline and not _CONTENT_ID.fullmatch(attachment.content_id):
        raise ValueError(f"{attachment.content_id[:60]!r} is not a Content-ID")
    if not attachment.name:
        raise ValueError("a file needs a name")
    refuse_breaks("file name", attachment.name)
    lines = [
        f"Content-Type: {kind};",
        *([' charset="utf-8";'] if _is_utf8(kind, attachment.content) else []),
        f' name="{_ascii_name(attachment.name)}"',
        "Content-Transfer-Encoding: base64",
        f"Content-Disposition: {'inline' if inline else 'attachment'};",
        *_file_name(attachment.name),
        *([f"Content-ID: <{attachment.content_id}>"] if inline else []),
    ]
    head = "\r\n".join(lines).encode("ascii") + b"\r\n\r\n"
    return EncodedFile(head + encodebytes(attachment.content).replace(b"\n", b"\r\n"), inline)


def _file_name(name: str) -> list[str]:
    """The parameter `filename`, a line for each piece (RFC 2183, RFC 2231)."""
    if _QUOTABLE.fullmatch(name) and "=?" not in name:
        return [f' filename="{name}"']
    pieces = [""]
    for character in name:
        # A character stays in one piece: readers decode piece by piece.
        octets = quote(character, safe="!#$&+-.^_`{}~")
        if len(pieces[-1]) + len(octets) > _SECTION:
            pieces.append("")
        pieces[-1] += octets
    pieces[0] = "UTF-8''" + pieces[0]
    if len(pieces) == 1:
        return [f" filename*={pieces[0]}"]
    ends = [";"] * (len(pieces) - 1) + [""]
    return [f" filename*{i}*={piece}{ends[i]}" for i, piece in enumerate(pieces)]


def _ascii_name(name: str) -> str:
    """What is shown by readers that do not know RFC 2231; the ending is kept."""
    plain = normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = " ".join(re.sub(r"[^ !#-\[\]-~]|=\?", "", plain).split())
    stem, dot, ending = plain.rpartition(".")
    stem, ending = (stem, ending) if dot else (plain, "")
    return f"{stem[:50].strip() or 'file'}{dot}{ending[:10]}"


def _is_utf8(kind: str, content: bytes) -> bool:
    # Without a charset text is US-ASCII (RFC 2046 §4.1.2), and a preview shows letters wrongly.
    if not kind.startswith("text/"):
        return False
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
