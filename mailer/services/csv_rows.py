"""Reading a recipient file: a CSV with a header, cells by column name."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from django.utils.translation import gettext as _

from mailer.exceptions import ImportRefused

if TYPE_CHECKING:
    from _csv import Reader

ADDRESS_COLUMNS = {"address", "email", "e-mail", "mail", "email_address", "e-mail_address"}
#: The comma first: it is what a file with one column is taken to have.
DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row of the file: its first line, its cells as they stand, and whether those are too many
    for the header."""

    line: int
    cells: list[str]
    problem: str = ""


def read_header(path: Path) -> list[str]:
    """The column names, as placeholders are written; the address column is called "address".

    Raises ImportRefused for what is not a CSV in UTF-8 with an address column.
    """
    with _refusals(path), _open(path) as file:
        names = _column_names(next(_reader(file), []))
    if "address" not in names:
        words = _("it has no column “address” (or “email”) in its first line")
        raise _refusal(path, words)
    if len(set(names)) < len(names) or "" in names:
        words = _("it has a column without a name, or two with the same, in its first line")
        raise _refusal(path, words)
    return names


def read_rows(path: Path, *, header: list[str]) -> Iterator[RawRow]:
    """The lines below the header, empty ones left out. Raises ImportRefused."""
    with _refusals(path), _open(path) as file:
        reader = _reader(file)
        next(reader)
        while True:
            line = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return
            if not any(cell.strip() for cell in cells):
                continue
            problem = ""
            if len(cells) > len(header):
                problem = _("%(found)s cells where the header has %(needed)s") % {
                    "found": len(cells),
                    "needed": len(header),
                }
            cells += [""] * (len(header) - len(cells))  # spreadsheets leave out the last empty ones
            yield RawRow(line, cells, problem)


def _column_names(cells: list[str]) -> list[str]:
    names = [cell.strip().lower().replace(" ", "_") for cell in cells]
    return ["address" if name in ADDRESS_COLUMNS else name for name in names]


def _open(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", newline="")


def _reader(file: TextIO) -> "Reader":
    """Reads cells, divided by whatever divides an address column from the others."""
    first = file.readline()
    file.seek(0)
    for delimiter in DELIMITERS:
        if "address" in _column_names(next(csv.reader([first], delimiter=delimiter), [])):
            return csv.reader(file, delimiter=delimiter, strict=True)
    return csv.reader(file, strict=True)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Whatever keeps a file from being read is an ImportRefused."""
    try:
        yield
    except OSError as error:
        raise _refusal(path, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        words = _("it is not written in UTF-8; save it as a CSV in UTF-8")
        raise _refusal(path, words) from None
    except csv.Error as error:
        words = _("%(error)s; save it as a CSV in UTF-8") % {"error": error}
        raise _refusal(path, words) from None


def _refusal(path: Path, why: str) -> ImportRefused:
    return ImportRefused(
        _("%(file)s cannot be read: %(why)s. Nothing was changed.") % {"file": path, "why": why}
    )
