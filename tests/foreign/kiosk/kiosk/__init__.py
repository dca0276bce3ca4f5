import os

from celery import Celery

from predict_worker.celery_config import celery_defaults

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kiosk.settings")

app = Celery("kiosk")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.add_defaults(celery_defaults)
