"""Celery's door: the wake-ups, and with them :mod:`predict_worker.canvas`."""

from __future__ import annotations

from celery import shared_task

from . import (
    canvas,  # noqa: F401  registers the task predict
    delivering,
)
from .node import local
from .wakeup import DELIVER, RUN_BATCHES, ModelTask


@shared_task(name=RUN_BATCHES, ignore_result=True, acks_late=False, base=ModelTask)
def run_batches(model: str, token: str) -> None:
    """See :func:`predict_worker.node.local.serve`."""
    local.serve(model, token)


@shared_task(name=DELIVER, ignore_result=True, acks_late=False, base=ModelTask)
def deliver(token: str) -> None:
    """See :func:`predict_worker.delivering.wake`."""
    delivering.wake(token)
