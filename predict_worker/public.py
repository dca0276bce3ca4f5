"""The functions for Python callers: the same service that the web uses, without HTTP."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .codec import Arrays, Columnar, Instances, RawInputs, join_ranges, read_npy
from .connect import service
from .core.errors import InvalidRequest
from .core.job import Job, Priority
from .core.spec import DEFAULT_SIGNATURE, ModelRef
from .service import Answer, PredictRequest

_RECHECK_S = 0.1


@dataclass(frozen=True, slots=True)
class Prediction:
    """A job, and its outputs by name when it succeeded (None: it did not, or they have expired)."""

    job: Job
    outputs: Mapping[str, NDArray[Any]] | None


def submit(
    model: str,
    inputs: Any = None,
    *,
    instances: Sequence[Any] | None = None,
    version: int | None = None,
    label: str | None = None,
    signature_name: str = DEFAULT_SIGNATURE,
    outputs: Sequence[str] = (),
    priority: str = Priority.NORMAL,
    deadline_s: float | None = None,
    metadata: Mapping[str, Any] | None = None,
    webhook: str | None = None,
    webhook_events: Sequence[str] | None = None,
    owner: str = "",
) -> Job:
    """Queue a prediction.

    ``inputs``: an array (or nested lists, or the bytes of a ``.npy`` file, or a list of the bytes of images,
    one a row) with the batch dimension for a model of one input, else a mapping by input name; or
    ``instances``, one row each. ``webhook``: a URL that is told of the job's end
    (docs/webhooks.md). Raises PredictionError's kinds.
    """
    request = PredictRequest(
        ModelRef(model, version, label),
        raw_inputs(inputs, instances),
        signature_name=signature_name,
        outputs=tuple(outputs),
        priority=Priority(priority),
        deadline_s=deadline_s,
        metadata=metadata or {},
        owner=owner,
        webhook=webhook,
        webhook_events=None if webhook_events is None else tuple(webhook_events),
    )
    return service().submit(request).job


def wait(job_id: str, timeout_s: float = 30.0, *, owner: str = "") -> Prediction:
    """The final job. Raises TimeoutError when it is not final in time, JobNotFound."""
    until = time.monotonic() + timeout_s
    while True:
        left_s = until - time.monotonic()
        answer = service().get(job_id, owner, max(left_s, 0.0))
        if answer.job.state.final:
            return _prediction(answer)
        if left_s <= 0:
            raise TimeoutError(f"job {job_id} is {answer.job.state} after {timeout_s} s")
        if answer.waited_s is None:  # no waiting place was free
            time.sleep(min(_RECHECK_S, left_s))


def get_job(job_id: str, *, owner: str = "") -> Prediction:
    """The job as it is now. Raises JobNotFound."""
    return _prediction(service().get(job_id, owner))


def cancel(job_id: str, *, owner: str = "") -> Job:
    """Raises JobNotFound, JobConflict when it has ended otherwise."""
    return service().cancel(job_id, owner)


def _prediction(answer: Answer) -> Prediction:
    return Prediction(answer.job, None if answer.payloads is None else join_ranges(answer.payloads))


def raw_inputs(inputs: Any, instances: Sequence[Any] | None) -> RawInputs:
    """``inputs`` and ``instances`` as :func:`submit` takes them. Raises InvalidRequest."""
    if (inputs is None) == (instances is None):
        raise InvalidRequest("inputs", "either inputs or instances", "neither" if inputs is None else "both")
    if instances is not None:
        return Instances(list(instances))
    if _is_binary(inputs):
        return Arrays({"": _array(inputs, "inputs")})
    if isinstance(inputs, Mapping) and all(map(_is_binary, inputs.values())):
        return Arrays({name: _array(value, f"inputs.{name}") for name, value in inputs.items()})
    return Columnar(inputs)


def _is_binary(given: Any) -> bool:
    """Whether this is an array, a ``.npy`` file, or a list of files."""
    return isinstance(given, (np.ndarray, bytes)) or (
        isinstance(given, list) and bool(given) and all(isinstance(row, bytes) for row in given)
    )


def _array(given: NDArray[Any] | bytes | list[bytes], field: str) -> NDArray[Any]:
    if isinstance(given, list):
        return np.array(given, object)
    return read_npy(given, field) if isinstance(given, bytes) else given
