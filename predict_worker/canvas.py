"""The task ``predict``, for those who compose Celery's tasks: a prediction without a job.

The web imports this module too, to send the task; what runs it is told here by the worker's side.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery import shared_task

from .codec import dumps, to_json
from .codec.dtypes import Array
from .codec.from_json import describe
from .core.errors import InvalidRequest, ModelNotFound, PredictionError
from .core.spec import DEFAULT_SIGNATURE, ModelRef
from .public import raw_inputs
from .service import PredictRequest
from .wakeup import PREDICT, ModelTask, queue_name

Predictor = Callable[[PredictRequest], Mapping[str, Array]]
"""Runs a request at once, in this process; raises PredictionError's kinds."""

_predictor: Predictor | None = None


def predict_by(predictor: Predictor | None) -> Predictor | None:
    """What runs the task in this process from now on; returns what did before."""
    global _predictor
    before, _predictor = _predictor, predictor
    return before


@shared_task(name=PREDICT, ignore_result=False, acks_late=False, throws=(PredictionError,), base=ModelTask)
def predict(
    *given: Any,
    model: str | None = None,
    inputs: Any = None,
    instances: Sequence[Any] | None = None,
    version: int | None = None,
    signature_name: str = DEFAULT_SIGNATURE,
    outputs: Sequence[str] = (),
) -> dict[str, Any]:
    """Outputs by name as nested lists: ``predict.s("digits", [[...]])``.

    With the model named by keyword, what a chain hands over is the inputs:
    ``load.s(path) | predict.s(model="digits")``. Inputs are as in :func:`predict_worker.submit`, but
    arrays travel as the bytes of a ``.npy`` file. Waits for nothing but the model itself.

    Raises InvalidRequest, ModelNotFound, ModelLoadError, PredictionFailed.
    """
    unnamed = [name for name, value in (("model", model), ("inputs", inputs)) if value is None]
    if len(given) > len(unnamed):
        raise TypeError(f"predict takes {' and '.join(unnamed) or 'nothing'} by position, got {len(given)}")
    asked = {"model": model, "inputs": inputs, **dict(zip(unnamed, given, strict=False))}
    if not isinstance(asked["model"], str):
        raise InvalidRequest("model", "a name", describe(asked["model"]))
    request = PredictRequest(
        ModelRef(asked["model"], version),
        raw_inputs(asked["inputs"], instances),
        signature_name=signature_name,
        outputs=tuple(outputs),
    )
    return _plain(_run(request))


def _run(request: PredictRequest) -> Mapping[str, Array]:
    if _predictor is None:
        queue = queue_name(request.ref.name)
        raise ModelNotFound(f"this process serves no models; workers that do read the queue {queue}")
    return _predictor(request)


def _plain(outputs: Mapping[str, Array]) -> dict[str, Any]:
    """Of JSON's own types, as the API writes them."""
    plain: dict[str, Any] = json.loads(dumps({name: to_json(array) for name, array in outputs.items()}))
    return plain
