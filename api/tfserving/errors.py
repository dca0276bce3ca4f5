"""Errors as TensorFlow Serving tells them: ``{"error": "..."}``, and the status of its canonical codes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse

from predict_worker.core.errors import InvalidRequest, JobUnsuccessful, PredictionError

from ..errors import problem_of
from ..views import json_response
from .dtypes import type_name

_STATUS: Mapping[int, int] = {405: 400, 406: 400, 410: 404, 413: 400, 415: 400, 422: 409}
"""What the service's own statuses become where the dialect has no such code."""

_OF_JOB: Mapping[str, int] = {
    "invalid_input": 400,
    "model_not_found": 404,
    "version_gone": 404,
    "cancelled": 409,
    "model_loading": 503,
    "model_unavailable": 503,
    "retryable": 503,
    "expired": 504,
    "timeout": 504,
}
"""Status by the code of a job's error, or by the state of one that ended without; any other is 500."""

_EXPECTED_TYPE = re.compile(r"(?:a number|an integer|true or false) \((\w+)\)\Z")


class InvalidArgument(PredictionError):
    """What the caller sent cannot be accepted, in TensorFlow Serving's words."""

    code = "invalid_request"
    title = "Invalid argument"


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """Django REST framework's hook, set on this dialect's views."""
    view = context["view"]
    problem = problem_of(error, view)
    status, text = _STATUS.get(problem.status, problem.status), problem.detail
    if isinstance(error, JobUnsuccessful):
        code = error.error["code"] if error.error else error.state
        status = _OF_JOB.get(code, 500)
    elif isinstance(error, InvalidRequest):
        text = _text(error)
    elif problem.status == 405:
        text = malformed(view.request)
    return json_response({"error": text}, status, problem.headers)


def malformed(request: Any) -> str:
    return f"Malformed request: {request.method} {request.path}"


def _text(error: InvalidRequest) -> str:
    wanted = _EXPECTED_TYPE.match(error.expected)
    if wanted is None:
        return error.detail
    return f"{error.field}: JSON value {error.got} is not of expected type: {type_name(wanted[1])}"
