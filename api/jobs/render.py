"""A job as the API shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse

from predict_worker import job_object as job_objects
from predict_worker.core.job import Job
from predict_worker.service import Answer, PredictionService

from ..errors import retry_after
from ..paths import path_of
from ..prefer import Preference
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
    return job_objects.job_object(answer.job, answer.payloads, _urls(answer.job))


def _urls(job: Job) -> Mapping[str, str | None]:
    at = f"{path_of('jobs')}/{job.id}"
    return {"self": at, "result": f"{at}/result", "cancel": f"{at}/cancel", "events": f"{at}/events"}
