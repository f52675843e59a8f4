"""What mailer does. To the host project's own code, `send_one` is the door."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .single import send_one

__all__ = ["send_one"]


def __getattr__(name: str) -> Any:
    # When it is asked for: schedules can be read without Django's models.
    if name == "send_one":
        from .single import send_one

        return send_one
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
