"""Celery in the Django admin: task results, retries, schedules, and the components around them."""
