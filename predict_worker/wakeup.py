"""Wake-ups as Celery messages: one short message to the queue of the model, no data in it."""

from __future__ import annotations

from typing import Any

from celery import Celery, current_app
from kombu.exceptions import OperationalError

from .core.errors import StoreUnavailable

RUN_BATCHES = "predict_worker.run_batches"
QUEUE_PREFIX = "model."


def queue_name(model: str) -> str:
    return QUEUE_PREFIX + model


class CeleryWakeups:
    """See :class:`predict_worker.core.ports.Wakeups`."""

    def __init__(self, app: Celery | None = None) -> None:
        self._app = app

    def send(self, model: str, token: str) -> None:
        app: Any = self._app or current_app
        try:
            app.send_task(
                RUN_BATCHES,
                args=(model, token),
                queue=queue_name(model),
                ignore_result=True,
                argsrepr="-",
                kwargsrepr="-",
            )
        except (OperationalError, OSError) as error:
            raise StoreUnavailable(f"the broker did not take a wake-up: {error}") from error
