"""The demo's Celery app, in a worker whose event loop is taken for hanging sooner."""

from predict_worker.node import heartbeat
from proj.celery import app

__all__ = ["app"]

SILENT_S = 2.0

heartbeat.SILENT_S = SILENT_S
