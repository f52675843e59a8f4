"""Numbers as people read them: 48,210 and 61 %."""

from django.utils.formats import number_format


def format_number(number: float, *, decimals: int | None = None) -> str:
    """48210 → "48,210" (separators of the active language)."""
    return number_format(number, decimal_pos=decimals, force_grouping=True)


def format_percent(part: float, whole: float) -> str:
    """The share in whole per cent; only everything is 100 %, only nothing is 0 %."""
    if not whole:
        return "0\N{NO-BREAK SPACE}%"
    share = round(100 * part / whole)
    if 0 < part < whole:
        share = min(max(share, 1), 99)
    return f"{share}\N{NO-BREAK SPACE}%"
