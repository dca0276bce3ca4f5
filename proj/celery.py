"""The Celery app: ``CELERY_*`` of Django's settings, over what predictions need."""

import os

from celery import Celery

from predict_worker.celery_config import celery_defaults

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proj.settings")

app = Celery("proj")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.add_defaults(celery_defaults)
