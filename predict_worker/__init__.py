"""Predictions by Celery workers that load each model once.

    from predict_worker import submit, wait

    job = submit("digits", inputs=[[...]])
    outputs = wait(job.id).outputs

``predict`` is the Celery task, for canvases; ``Retryable`` is for models and transforms to raise. Nothing
here imports TensorFlow, and everything is imported when it is first named.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .canvas import predict
    from .core.errors import Retryable
    from .public import cancel, get_job, submit, wait

__all__ = ["Retryable", "cancel", "get_job", "predict", "submit", "wait"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = {"predict": ".canvas", "Retryable": ".core.errors"}.get(name, ".public")
    return getattr(import_module(home, __name__), name)
