"""Numbers as people read them: 48,210, 10,000+ and 61 %."""

from django.utils.formats import number_format


def format_number(number: float, *, decimals: int | None = None) -> str:
    """48210 → "48,210" (separators of the active language); a capped RowCount → "10,000+"."""
    words = number_format(number + 0, decimal_pos=decimals, force_grouping=True)
    return f"{words}+" if getattr(number, "capped", False) else words


def format_percent(part: float, whole: float) -> str:
    """The share in whole per cent; only everything is 100 %, only nothing is 0 %."""
    if not whole:
        return "0\N{NO-BREAK SPACE}%"
    share = round(100 * part / whole)
    if 0 < part < whole:
        share = min(max(share, 1), 99)
    return f"{share}\N{NO-BREAK SPACE}%"
