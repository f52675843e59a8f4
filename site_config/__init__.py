"""The site. Importing it makes the Celery application the current one, as shared tasks need."""

from .celery import app as celery_app

__all__ = ["celery_app"]
