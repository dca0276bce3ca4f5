"""Errors as the protocol tells them: ``{"error": "..."}``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from predict_worker.core.errors import JobUnsuccessful, ModelNotFound, PredictionError

from ..errors import Problem, problem_of
from ..views import ApiView, json_response


class NotOffered(PredictionError):
    """The protocol or one of its extensions has it, this service does not; or the other way round."""

    code = "not_offered"
    title = "Not offered"


class NotReady(PredictionError):
    """The model exists, and no worker has loaded it."""

    code = "model_not_ready"
    title = "Model not ready"


JOB_STATUS: Mapping[str, int] = {
    "invalid_input": 400,
    "version_gone": 404,
    "model_unavailable": 503,
    "timeout": 504,
    "expired": 504,
    "cancelled": 409,
}
"""HTTP status by what became of a job: its error's code, or the state it ended in. Anything else is 500."""


class OipView(ApiView):
    """Base of the dialect's views."""

    def get_exception_handler(self) -> Any:
        return exception_handler


class Unoffered(OipView):
    """Extensions of the protocol that this service has not."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotOffered(f"{request.path}: this extension is not offered")


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    problem = problem_of(error, context["view"])
    if isinstance(error, JobUnsuccessful):
        problem = _of_job(problem, error)
    elif isinstance(error, ModelNotFound):  # published programs look for Triton's first words
        problem = replace(problem, detail=f"Request for unknown model: {problem.detail}")
    return json_response({"error": problem.detail}, problem.status, problem.headers)


def _of_job(problem: Problem, error: JobUnsuccessful) -> Problem:
    code = error.state if error.error is None else error.error["code"]
    return replace(problem, status=JOB_STATUS.get(code, 500))
