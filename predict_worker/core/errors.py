"""Every error the service raises on purpose.

An error carries a stable ``code``, a ``title`` (same for every occurrence) and a
``detail`` (this occurrence). Which HTTP status it becomes is decided in ``api.errors``
alone. Errors of a *job* (what a failed job shows) are :class:`predict_worker.core.job.JobError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class PredictionError(Exception):
    """Base of all errors raised on purpose."""

    code = "internal"
    title = "Prediction service error"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title

    def __str__(self) -> str:
        return self.detail


class InvalidRequest(PredictionError):
    """The caller's input cannot be accepted; names the field, what was expected and what came."""

    code = "invalid_request"
    title = "Invalid request"

    def __init__(self, field: str, expected: str, got: str) -> None:
        super().__init__(f"{field}: expected {expected}, got {got}")
        self.args = (field, expected, got)  # from which pickle and Celery's result backends make it again
        self.field, self.expected, self.got = field, expected, got


class PayloadTooLarge(InvalidRequest):
    """The input is well formed but larger than a configured bound."""

    code = "payload_too_large"
    title = "Payload too large"


class ModelNotFound(PredictionError):
    """No such model, version or label is known."""

    code = "model_not_found"
    title = "Model not found"


class VersionNotReady(PredictionError):
    """A label may not point to a version that not every ready worker of the model has loaded."""

    code = "version_not_ready"
    title = "Version not ready"


class JobNotFound(PredictionError):
    """No job of that id exists for this owner."""

    code = "job_not_found"
    title = "Job not found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"no job {job_id!r}")


class EndpointNotFound(PredictionError):
    """No webhook endpoint of that id exists for this owner."""

    code = "endpoint_not_found"
    title = "Endpoint not found"

    def __init__(self, endpoint_id: str) -> None:
        super().__init__(f"no endpoint {endpoint_id!r}")


class DeliveryNotFound(PredictionError):
    """No delivery of that id exists for this owner."""

    code = "delivery_not_found"
    title = "Delivery not found"

    def __init__(self, delivery_id: str) -> None:
        super().__init__(f"no delivery {delivery_id!r}")


class ResultGone(PredictionError):
    """The job is known, its outputs have expired."""

    code = "result_gone"
    title = "Result expired"


class InputsGone(PredictionError):
    """The job is a dead letter, but what it would run on is no longer stored."""

    code = "inputs_gone"
    title = "Inputs no longer stored"


class JobConflict(PredictionError):
    """The job's state does not allow what was asked."""

    code = "job_conflict"
    title = "Job state conflict"


class ResultNotReady(JobConflict):
    """The job is still queued or running."""

    code = "result_not_ready"
    title = "Result not ready"

    def __init__(self, detail: str, retry_after_s: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class JobUnsuccessful(JobConflict):
    """The job ended without outputs; ``state`` says how, ``error`` (a JobError's fields) why it failed."""

    code = "job_unsuccessful"
    title = "Job ended without a result"

    def __init__(self, detail: str, state: str, error: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.state, self.error = state, error


class IllegalTransition(PredictionError):
    """A state change that the transition table does not hold."""

    code = "illegal_transition"
    title = "Illegal job state transition"


class IdempotencyConflict(PredictionError):
    """The idempotency key was used before with another payload."""

    code = "idempotency_conflict"
    title = "Idempotency key reused with another payload"


class QueueFull(PredictionError):
    """Admission refused: a bound on queued jobs or bytes is reached. Nothing was stored."""

    code = "queue_full"
    title = "Queue full"

    def __init__(self, detail: str, retry_after_s: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class DeadlineUnreachable(QueueFull):
    """Admission refused: by the time that the work ahead takes, the job would be past its deadline."""

    code = "deadline_unreachable"
    title = "Deadline cannot be met"


class ModelDraining(QueueFull):
    """Admission refused: an operator lets this model's queue run empty."""

    code = "model_draining"
    title = "Model takes no more jobs"


class TooManyStreams(PredictionError):
    """As many jobs are watched in this process as it watches at once."""

    code = "too_many_streams"
    title = "Too many streams of events"
    retry_after_s = 5.0


class StoreUnavailable(PredictionError):
    """The job store did not answer in time; a submit may or may not have been accepted."""

    code = "store_unavailable"
    title = "Job store unavailable"

    def __init__(self, detail: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class InvalidRepository(PredictionError):
    """The model repository, or one model in it, is not laid out as it must be."""

    code = "invalid_repository"
    title = "Invalid model repository"


class ModelLoadError(PredictionError):
    """An artefact could not be loaded or warmed."""

    code = "model_load_failed"
    title = "Model failed to load"


class Retryable(PredictionError):
    """For models and transforms to raise: the same inputs may well succeed a little later (a service that
    did not answer, a lock that was held). The job runs again after a pause, as ``[retry]`` says."""

    code = "retryable"
    title = "Prediction may succeed later"


class PredictionFailed(PredictionError):
    """A prediction without a job has no outputs; the detail names the code that a job would show."""

    code = "prediction_failed"
    title = "Prediction failed"


class TransformFailed(PredictionError):
    """A transform raised an error of its own, or did not give what it had declared."""

    code = "transform_failed"
    title = "Transform failed"


class CorruptPayload(PredictionError):
    """Stored tensor bytes do not decode."""

    code = "corrupt_payload"
    title = "Stored payload is corrupt"


class InvalidConfig(PredictionError):
    """A setting has an impossible value; names the setting."""

    code = "invalid_config"
    title = "Invalid configuration"
