"""The one place where an error becomes an HTTP answer: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpResponse, UnreadablePostError
from rest_framework import exceptions

from predict_worker.codec import dumps
from predict_worker.core.errors import InvalidRequest, JobUnsuccessful, PredictionError

log = logging.getLogger(__name__)

STATUS: Mapping[str, int] = {
    "invalid_request": 400,
    "payload_too_large": 413,
    "model_not_found": 404,
    "job_not_found": 404,
    "endpoint_not_found": 404,
    "delivery_not_found": 404,
    "version_not_ready": 409,
    "job_conflict": 409,
    "result_not_ready": 409,
    "job_unsuccessful": 409,
    "result_gone": 410,
    "inputs_gone": 410,
    "idempotency_conflict": 422,
    "queue_full": 503,
    "deadline_unreachable": 503,
    "model_draining": 503,
    "store_unavailable": 503,
    "too_many_streams": 503,
    "model_not_ready": 503,
    "not_offered": 501,
    "late_answer": 504,
}
"""HTTP status by error code; any other code is 500."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What a problem document says of one error; ``members`` are those beyond RFC 9457's own."""

    code: str
    title: str
    status: int
    detail: str
    members: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """Django REST framework's hook, set on our views only. Every exception becomes a problem."""
    view = context["view"]
    problem = problem_of(error, view)
    body = {
        "type": f"urn:predict-worker:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": view.request.path,
        "code": problem.code,
        "request_id": view.request_id,
        **problem.members,
    }
    return HttpResponse(
        dumps(body),
        status=problem.status,
        content_type="application/problem+json",
        headers={"Cache-Control": "no-store", **problem.headers},
    )


def problem_of(error: Exception, view: Any) -> Problem:
    """What an error is to HTTP, in whichever dialect it is told; the log has those that are our own."""
    problem = _problem(error)
    if problem.status == 405:
        return replace(problem, headers={**problem.headers, "Allow": ", ".join(view.allowed_methods)})
    if problem.status >= 500 and problem.status not in (501, 503, 504):
        log.error("request %s failed: %s", view.request_id, error, exc_info=error)
    return problem


def _problem(error: Exception) -> Problem:
    if isinstance(error, PredictionError) and error.code in STATUS:
        return _known(error)
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, (SuspiciousOperation, UnreadablePostError)):
        error = exceptions.ParseError()
    if isinstance(error, exceptions.APIException):
        return _of_framework(error)
    return Problem("internal", PredictionError.title, 500, "an unexpected error; the log names this request")


def _known(error: PredictionError) -> Problem:
    members: dict[str, Any] = {}
    if isinstance(error, InvalidRequest):
        members = {"field": error.field, "expected": error.expected, "got": error.got}
    elif isinstance(error, JobUnsuccessful):
        members = {"state": error.state, "error": error.error}
    retry_after_s = getattr(error, "retry_after_s", None)
    headers = {} if retry_after_s is None else retry_after(retry_after_s)
    return Problem(error.code, error.title, STATUS[error.code], error.detail, members, headers)


def _of_framework(error: exceptions.APIException) -> Problem:
    challenge, wait_s = getattr(error, "auth_header", None), getattr(error, "wait", None)
    headers = {"WWW-Authenticate": challenge} if challenge else {}
    if wait_s is not None:
        headers |= retry_after(wait_s)
    status = error.status_code
    return Problem(str(error.default_code), HTTPStatus(status).phrase, status, str(error.detail), {}, headers)


def retry_after(seconds: float) -> dict[str, str]:
    """The header, in whole seconds, at least one."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
