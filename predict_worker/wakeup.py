"""Wake-ups as Celery messages: one short message to the queue of the model, no data in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery, Task, current_app
from kombu.exceptions import OperationalError

from .core.errors import StoreUnavailable
from .core.spec import MODEL_NAME

RUN_BATCHES = "predict_worker.run_batches"
PREDICT = "predict_worker.predict"
DELIVER = "predict_worker.deliver"
QUEUE_PREFIX = "model."
HOOKS_QUEUE = "hooks"


class ModelTask(Task[..., Any]):
    """A task whose messages come from the queues of models."""

    # By name: only workers import it.
    Request = "predict_worker.node.request:MaybeAcknowledged"


def queue_name(model: str) -> str:
    return QUEUE_PREFIX + model


def route_predict(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any], **_: Any
) -> dict[str, str] | None:
    """A router for Celery's ``task_routes``: the task predict goes to the queue of its model."""
    if name != PREDICT:
        return None
    model = kwargs.get("model") or next(iter(args), None)
    return {"queue": queue_name(model)} if isinstance(model, str) and MODEL_NAME.match(model) else None


class CeleryWakeups:
    """See :class:`predict_worker.core.ports.Wakeups`."""

    def __init__(self, app: Celery | None = None) -> None:
        self._app = app

    def send(self, model: str, token: str) -> None:
        self._send(RUN_BATCHES, queue_name(model), model, token)

    def send_hooks(self, token: str) -> None:
        self._send(DELIVER, HOOKS_QUEUE, token)

    def _send(self, task: str, queue: str, *arguments: str) -> None:
        app: Any = self._app or current_app
        try:
            app.send_task(
                task,
                args=arguments,
                queue=queue,
                ignore_result=True,
                delivery_mode="transient",
                argsrepr="-",
                kwargsrepr="-",
            )
        except (OperationalError, OSError) as error:
            raise StoreUnavailable(f"the broker did not take a wake-up: {error}") from error
