"""How many of some moments lie close together, for whoever checks a limit."""

from collections.abc import Sequence


def most_in(sent: Sequence[float], seconds: float) -> int:
    """The most messages in any half-open window of so many seconds; `sent` in order."""
    most = first = 0
    for last, moment in enumerate(sent):
        while sent[first] <= moment - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
