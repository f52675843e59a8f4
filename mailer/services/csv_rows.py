"""Reading a recipient file: a CSV with a header, cells by column name."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from django.utils.translation import gettext as _

from mailer.exceptions import ImportRefused

from .column_names import placeholder_names, what_is_wrong

if TYPE_CHECKING:
    from _csv import Reader

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
        headings = next(_reader(file), [])
    if problem := what_is_wrong(headings):
        raise _refusal(path, problem)
    return placeholder_names(headings)


def read_rows(path: Path, *, header: list[str]) -> Iterator[RawRow]:
    """The lines below the header, empty ones left out. Raises ImportRefused.

    Columns at the end without a name are nothing as long as nothing stands in them: spreadsheets
    write them for cells that were emptied.
    """
    with _refusals(path), _open(path) as file:
        reader = _reader(file)
        named, width = len(header), len(next(reader))
        while True:
            line = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return
            if not any(cell.strip() for cell in cells):
                continue
            if nameless := [n for n in range(named, min(width, len(cells))) if cells[n].strip()]:
                words = _(
                    "column %(n)s has no name in the first line, and something in line %(line)s"
                )
                raise _refusal(path, words % {"n": nameless[0] + 1, "line": line})
            problem = ""
            if len(cells) > width:
                problem = _("%(found)s cells where the header has %(needed)s") % {
                    "found": len(cells),
                    "needed": width,
                }
            del cells[named:width]
            cells += [""] * (named - len(cells))  # spreadsheets leave out the last empty ones
            yield RawRow(line, cells, problem)


def _open(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", newline="")


def _reader(file: TextIO) -> "Reader":
    """Reads cells, divided by whatever divides an address column from the others."""
    first = file.readline()
    file.seek(0)
    for delimiter in DELIMITERS:
        if "address" in placeholder_names(next(csv.reader([first], delimiter=delimiter), [])):
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
