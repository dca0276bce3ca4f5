"""The demo's Celery app with children that take longer to start than Celery's default allows (4 s)."""

import time

from celery import signals

from proj.celery import app

__all__ = ["app"]

SLOW_S = 5.0


@signals.worker_process_init.connect(weak=False)
def slow(**_: object) -> None:
    time.sleep(SLOW_S)
