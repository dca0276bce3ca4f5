"""The Django project and the Celery app that serve predictions."""

from .celery import app as celery_app

__all__ = ["celery_app"]
