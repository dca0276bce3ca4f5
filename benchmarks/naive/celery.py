"""The Celery app of the comparison."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.naive.settings")
app = Celery("naive")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.imports = ("benchmarks.naive.tasks",)
