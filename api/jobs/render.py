"""A job as the API shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from django.http import HttpResponse
from django.urls import get_script_prefix, reverse

from predict_worker.codec import join_ranges, to_json
from predict_worker.core.job import Job
from predict_worker.service import Answer, PredictionService

from ..errors import retry_after
from ..prefer import Preference
from ..times import rfc3339
from ..views import json_response


def answered(answer: Answer, preference: Preference, service: PredictionService) -> HttpResponse:
    """To a submit: 200 with a final job, else 202 with where and when to look."""
    final = answer.job.state.final
    headers = preference.applied(waited_s=answer.waited_s, answered_async=not final)
    body = job_object(answer)
    if final:
        return json_response(body, 200, headers)
    headers |= retry_after(service.retry_after_s(answer.job)) | {"Location": body["urls"]["self"]}
    return json_response(body, 202, headers)


def found(answer: Answer, preference: Preference, service: PredictionService) -> HttpResponse:
    """To a question for a job: 200, final or not."""
    final = answer.job.state.final
    headers = preference.applied(waited_s=answer.waited_s, answered_async=False)
    if not final:
        headers |= retry_after(service.retry_after_s(answer.job))
    return json_response(job_object(answer), 200, headers)


def job_object(answer: Answer) -> dict[str, Any]:
    """What is not known yet is null, never missing."""
    job, timings = answer.job, answer.job.timings
    return {
        "id": job.id,
        "model": job.model,
        "version": None if job.version is None else str(job.version),
        "digest": job.digest,
        "signature_name": job.signature_name,
        "artefact": job.artefact,
        "state": job.state.value,
        "priority": job.priority.value,
        "rows": job.rows,
        "attempts": job.attempts,
        "queue_position": job.queue_position,
        "created_at": rfc3339(job.created_at),
        "started_at": rfc3339(job.started_at),
        "finished_at": rfc3339(job.finished_at),
        "deadline_at": rfc3339(job.deadline_at),
        "expires_at": rfc3339(job.expires_at),
        "timings": {
            "queue_ms": timings.queue_ms,
            "predict_ms": timings.predict_ms,
            "batch_rows": timings.batch_rows,
        },
        "outputs": None if answer.payloads is None else outputs_object(answer.payloads),
        "error": asdict(job.error) if job.error else None,
        "metadata": job.metadata,
        "urls": _urls(job),
    }


def outputs_object(payloads: Sequence[bytes]) -> dict[str, Any]:
    """By output name, always with the batch dimension."""
    return {name: to_json(array) for name, array in join_ranges(payloads).items()}


def _urls(job: Job) -> Mapping[str, str | None]:
    at = f"{_jobs_path(get_script_prefix())}/{job.id}"
    return {"self": at, "result": f"{at}/result", "cancel": f"{at}/cancel", "events": None}


@lru_cache(maxsize=16)
def _jobs_path(script_prefix: str) -> str:
    return reverse("prediction_api:jobs")
