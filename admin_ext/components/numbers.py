"""Numbers as people read them: 48,210, 10,000+ and 61 %."""

from django.utils.formats import number_format


class RowCount(int):
    """A number of rows; where the counting stopped at it, `capped`, there are more.

    The admin's stock templates print it as it stands. It expects USE_THOUSAND_SEPARATOR to be
    off (Django's default); the separators come from here.
    """

    capped: bool = False

    @classmethod
    def up_to(cls, cap: int, found: int) -> "RowCount":
        """What was counted to one above the cap at most."""
        count = cls(min(found, cap))
        count.capped = found > cap
        return count

    def __str__(self) -> str:
        return format_number(self)


def format_number(number: float, *, decimals: int | None = None) -> str:
    """48210 → "48,210" (separators of the active language); a capped RowCount → "10,000+"."""
    if isinstance(number, RowCount):
        return format_number(int(number)) + ("+" if number.capped else "")
    return number_format(number, decimal_pos=decimals, force_grouping=True)


def format_percent(part: float, whole: float) -> str:
    """The share in whole per cent; only everything is 100 %, only nothing is 0 %."""
    if not whole:
        return "0\N{NO-BREAK SPACE}%"
    share = round(100 * part / whole)
    if 0 < part < whole:
        share = min(max(share, 1), 99)
    return f"{share}\N{NO-BREAK SPACE}%"
