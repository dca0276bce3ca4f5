"""Words the API's tests are written in."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from tests.unit.world import DIGIT


def body(**fields: Any) -> dict[str, Any]:
    """A request for one digit; a field of None is left out."""
    given = {"model": "digits", "inputs": DIGIT, **fields}
    return {name: value for name, value in given.items() if value is not None}


def post(client: Client, data: Any = None, **headers: str) -> Any:
    """Header names with underscores: ``prefer="wait=5"``."""
    raw = data if isinstance(data, bytes) else json.dumps(body() if data is None else data).encode()
    return client.post(
        "/api/jobs",
        raw,
        content_type=headers.pop("content_type", "application/json"),
        headers=spelled(headers),
    )


def spelled(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def refused(response: Any, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """The problem document, after checking all that every problem has."""
    assert response["Content-Type"] == "application/problem+json", response.content
    problem: dict[str, Any] = json.loads(response.content)
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert problem["type"] == f"urn:predict-worker:{code}"
    assert problem["request_id"] == response["X-Request-ID"]
    assert all(isinstance(problem[name], str) and problem[name] for name in ("title", "detail", "instance"))
    if field is not None:
        assert problem["field"] == field, problem
        assert problem["expected"]
        assert problem["got"]
    return problem
