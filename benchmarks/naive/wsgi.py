"""The WSGI application of the comparison."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.naive.settings")

from django.core.wsgi import get_wsgi_application

from .celery import app as celery_app

__all__ = ["application", "celery_app"]

application = get_wsgi_application()
celery_app.set_default()
