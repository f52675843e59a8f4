"""The bell of services that callers outside mailer call: they ring it, and know no tasks."""

from collections.abc import Callable

_answers: list[Callable[[], None]] = []


def answer_with(answer: Callable[[], None]) -> None:
    """Have `answer`, alone, called whenever somebody rings."""
    _answers[:] = [answer]


def ring() -> None:
    """Say that there is work once the transaction around the caller has committed."""
    for answer in _answers:
        answer()
