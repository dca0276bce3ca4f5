"""Predictions by Celery workers that load each model once.

    from predict_worker import submit, wait

    job = submit("digits", inputs=[[...]])
    outputs = wait(job.id).outputs

Nothing here imports TensorFlow, and the functions are imported when they are first named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .public import cancel, get_job, submit, wait

__all__ = ["cancel", "get_job", "submit", "wait"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import public

    return getattr(public, name)
