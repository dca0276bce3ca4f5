"""Errors as Replicate tells them (RFC 7807)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse

from predict_worker.codec import dumps
from predict_worker.core.errors import InvalidRequest

from ..errors import problem_of


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """Django REST framework's hook, set on this dialect's views."""
    if isinstance(error, InvalidRequest) and error.field.startswith("inputs"):
        error = type(error)(f"input{error.field.removeprefix('inputs')}", error.expected, error.got)
    problem = problem_of(error, context["view"])
    body = {
        "type": f"urn:predict-worker:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    return HttpResponse(
        dumps(body),
        status=problem.status,
        content_type="application/problem+json",
        headers={"Cache-Control": "no-store", **problem.headers},
    )
