"""What an action says when it is done, or why it was not done."""

from dataclasses import dataclass

from django.contrib import messages


class ActionRefused(Exception):
    """An action was not done; the message is a plain sentence for the person who asked."""


@dataclass(frozen=True, slots=True)
class ActionDone:
    """What to say after an action, and where to go: the object's own page when `url` is empty."""

    message: str
    url: str = ""
    level: int = messages.SUCCESS
