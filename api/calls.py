"""How the synchronous dialects ask: the caller waits for the result, unless ``Prefer: respond-async``.

A caller that waits knows no job: one that is not final in time is cancelled, so that nothing runs for
nobody.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict

from rest_framework.request import Request

from predict_worker.codec import join_ranges
from predict_worker.codec.dtypes import Array
from predict_worker.conf import get_config
from predict_worker.connect import service
from predict_worker.core.errors import JobUnsuccessful, PredictionError, QueueFull, ResultGone
from predict_worker.core.job import JobState
from predict_worker.service import Answer, PredictRequest

from . import prefer
from .admission import submit
from .prefer import Preference


class LateAnswer(PredictionError):
    """The caller waited, and the job was not final in time. It is cancelled."""

    code = "late_answer"
    title = "No result in time"


def call(request: Request, asked: PredictRequest) -> tuple[Answer, Preference]:
    """The final job, or with ``respond-async`` perhaps one that still runs.

    Raises what :func:`.admission.submit` does, QueueFull where nobody more can wait, LateAnswer.
    """
    preference = prefer.parse(request.META.get("HTTP_PREFER", ""))
    wait_s: float | None = preference.wait_s
    if wait_s is None:
        wait_s = 0 if preference.respond_async else get_config().max_wait_s
    answer = submit(request, asked, wait_s)
    if answer.job.state.final or preference.respond_async:
        return answer, preference
    with suppress(PredictionError):  # it has ended meanwhile, or the store is away
        service().cancel(answer.job.id, asked.owner)
    if answer.waited_s is None and wait_s > 0:
        raise QueueFull("no waiting place is free; Prefer: respond-async makes a job of it")
    raise LateAnswer(
        f"no result within {answer.waited_s or 0:.0f} s; Prefer: respond-async makes a job of it"
    )


def outputs(answer: Answer) -> dict[str, Array]:
    """A final job's tensors by name. Raises JobUnsuccessful, ResultGone."""
    job = answer.job
    if job.state is not JobState.SUCCEEDED:
        error = asdict(job.error) if job.error else None
        detail = job.error.detail if job.error else f"job {job.id} is {job.state}"
        raise JobUnsuccessful(detail, job.state.value, error)
    if answer.payloads is None:
        raise ResultGone(f"the outputs of job {job.id} have expired")
    return join_ranges(answer.payloads)
