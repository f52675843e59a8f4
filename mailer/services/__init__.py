"""What mailer does. To the host project's own code, `send_one` is the door."""

from .single import send_one

__all__ = ["send_one"]
