"""This app's settings, with their defaults."""

from datetime import timedelta

from django.conf import settings


def heartbeat_interval() -> timedelta:
    """How often a worker and the scheduler say that they live (ADMIN_EXT_HEARTBEAT_SECONDS)."""
    return timedelta(seconds=float(getattr(settings, "ADMIN_EXT_HEARTBEAT_SECONDS", 5)))


def stale_after() -> timedelta:
    """A process not heard of for so long is taken for gone: six beats, one or two may be late."""
    return 6 * heartbeat_interval()


def beat_lease() -> timedelta:
    """How long the firing scheduler may be silent before another takes over
    (ADMIN_EXT_BEAT_LEASE_SECONDS)."""
    return timedelta(seconds=float(getattr(settings, "ADMIN_EXT_BEAT_LEASE_SECONDS", 15)))


def kept_for() -> timedelta:
    """How long task results and attempts are kept (ADMIN_EXT_KEEP_DAYS)."""
    return timedelta(days=float(getattr(settings, "ADMIN_EXT_KEEP_DAYS", 30)))
