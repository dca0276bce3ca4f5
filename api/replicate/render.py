"""A job as a prediction of Replicate's API (https://replicate.com/docs/reference/http)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from rest_framework.request import Request

from predict_worker.codec import join_ranges, to_json
from predict_worker.core.job import Job, JobState
from predict_worker.job_object import rfc3339
from predict_worker.service import Answer, Page

from ..paths import path_of

STATUS: Mapping[JobState, str] = {
    JobState.QUEUED: "starting",
    JobState.RUNNING: "processing",
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "canceled",
    JobState.EXPIRED: "failed",
}


class Site:
    """Absolute URLs, as clients in other languages than Python need them. Made before anything is queued:
    it refuses a Host that is not allowed."""

    def __init__(self, request: Request) -> None:
        http = request._request
        self._predictions = f"{http.scheme}://{http.get_host()}{path_of('replicate-predictions')}"

    def urls(self, job_id: str) -> dict[str, str]:
        at = f"{self._predictions}/{job_id}"
        return {"get": at, "cancel": f"{at}/cancel", "stream": f"{at}/stream"}

    def page(self, cursor: str) -> str:
        return f"{self._predictions}?{urlencode({'cursor': cursor})}"


def prediction(answer: Answer, site: Site) -> dict[str, Any]:
    """What is not known is null; where no version is chosen yet it is the model's name."""
    job, predict_ms = answer.job, answer.job.timings.predict_ms
    return {
        "id": job.id,
        "model": job.model,
        "version": job.model if job.version is None else f"{job.model}:{job.version}",
        "status": STATUS[job.state],
        "input": None,
        "output": None if answer.payloads is None else output(answer.payloads),
        "error": error(job),
        "logs": progress(job),
        "metrics": {} if predict_ms is None else {"predict_time": predict_ms / 1000},
        "created_at": rfc3339(job.created_at),
        "started_at": rfc3339(job.started_at),
        "completed_at": rfc3339(job.finished_at),
        "urls": site.urls(job.id),
    }


def created(answer: Answer, site: Site) -> dict[str, Any]:
    """To a create. Replicate's client takes one that it has waited for as final unless it is ``starting``."""
    status = {} if answer.job.state.final else {"status": STATUS[JobState.QUEUED]}
    return {**prediction(answer, site), **status}


def page(found: Page, site: Site) -> dict[str, Any]:
    """Without outputs. There is no way back."""
    results = [prediction(Answer(job), site) for job in found.jobs]
    return {"previous": None, "next": site.page(found.cursor) if found.cursor else None, "results": results}


def output(payloads: Sequence[bytes]) -> Any:
    """The rows of the only output, or of each by its name."""
    arrays = {name: to_json(array) for name, array in join_ranges(payloads).items()}
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def error(job: Job) -> str | None:
    if job.state is JobState.EXPIRED:
        return "the prediction was not finished by its deadline"
    return job.error.detail if job.error else None


def progress(job: Job) -> str:
    """Of a job of several ranges a line such as tqdm's, in which Replicate's client finds numbers."""
    if job.ranges == 1 or job.started_at is None:
        return ""
    tenths = 10 * job.ranges_done // job.ranges
    percent = 100 * job.ranges_done // job.ranges
    return f"{percent}%|{'#' * tenths}{' ' * (10 - tenths)}| {job.ranges_done}/{job.ranges}"
