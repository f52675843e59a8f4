"""This app's one task; the project's beat schedule says how often (each minute is right)."""

from celery import shared_task
from django.utils import timezone

from .housekeeping import keep_house


@shared_task(name="admin_ext.keep_house", ignore_result=True)
def keep_house_task() -> None:
    """Close lost attempts, delete what is too old."""
    keep_house(timezone.now())
