"""Whatever is asked, answers are as the description says: statuses, media types, bodies and headers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client, override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, load_all_checks

from tests.unit.world import DIGIT, World

ANY = settings(max_examples=10, suppress_health_check=list(HealthCheck))
load_all_checks()
EACH = [
    CHECKS.get_one(name)
    for name in (
        *("status_code_conformance", "content_type_conformance"),
        *("response_schema_conformance", "response_headers_conformance"),
    )
]
TENSOR = {"name": "x", "shape": [1, 8, 8, 1], "datatype": "FP32", "data": [0] * 64}
MODELS = ("digits", "pair", "fresh")


@pytest.fixture
def answering(world: World) -> Iterator[World]:
    with world.answering(*MODELS):
        yield world


@pytest.fixture
def described(answering: World) -> Iterator[Any]:
    wanted = {"ALLOW_ANONYMOUS": True, "MAX_BODY_BYTES": 4096, "MAX_WAIT_S": 0.2}
    with override_settings(PREDICT_WORKER=wanted):
        yield schemathesis.openapi.from_wsgi("/api/schema", WSGIHandler())


def check(case: Any) -> Any:
    response = case.call()
    assert response.status_code not in (500, 502), response.text
    case.validate_response(response, checks=EACH)
    return response


def test_any_request_is_answered_as_described(described: Any) -> None:
    seen: Counter[int] = Counter()
    for result in described.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy(), existing=st.booleans())
        @ANY
        def ask(case: Any, existing: bool) -> None:
            if existing:
                _name_what_exists(case)
            seen[check(case).status_code] += 1

        ask()
    assert seen.total() > 300
    assert {200, 202, 204, 400, 404, 409} <= seen.keys(), seen


def test_whoever_has_no_valid_key_is_refused_as_described(described: Any) -> None:
    refused = []
    once = settings(ANY, max_examples=1)
    for result in described.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @once
        def ask(case: Any) -> None:
            status = check(case).status_code
            if status == 401:
                refused.append(case.operation.label)

        with override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": False}):
            ask()
    public = {"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/api/schema"}
    every = {result.ok().label for result in described.get_all_operations()}
    assert every - set(refused) <= {f"GET {path}" for path in public}


def test_examples_are_answered(described: Any) -> None:
    submit = described["/api/jobs"]["POST"]
    examples = [case for strategy in submit.get_strategies_from_examples() for case in _all(strategy)]
    assert {case.body["model"] for case in examples} == {"digits", "pair"}
    for case in examples:
        case.headers = {"Prefer": "wait=5"}
        response = check(case)
        assert response.status_code == 200, response.text
        assert response.json()["state"] == "succeeded"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/models/{name}:{verb}", {"instances": DIGIT}, 200),
        ("/v1/models/{name}:{verb}", {"inputs": [1]}, 400),
        ("/v2/models/{name}/infer", {"inputs": [TENSOR]}, 200),
        ("/v2/models/{name}/infer", {"inputs": []}, 400),
        ("/v1/predictions", {"version": "digits", "input": {"x": DIGIT}}, 201),
        ("/v1/models/{owner}/{name}/predictions", {"input": {"x": DIGIT}}, 201),
        ("/api/jobs", {"model": "digits", "inputs": DIGIT, "webhook": "http://127.0.0.1/"}, 400),
        ("/api/jobs", {"model": "nobody", "inputs": 1}, 404),
        ("/api/hooks/endpoints", {"url": "https://example.com/"}, 201),
        ("/api/models/{name}/pause", None, 200),
        ("/v2/repository/index", {}, 200),
    ],
)
def test_real_calls(described: Any, path: str, body: Any, status: int) -> None:
    names = {"name": "digits", "verb": "predict", "owner": "me"}
    in_path = {name: value for name, value in names.items() if f"{{{name}}}" in path}
    given = {} if body is None else {"body": body, "media_type": "application/json"}
    assert check(described[path]["POST"].Case(path_parameters=in_path, **given)).status_code == status


@pytest.mark.parametrize(
    "path", ["/api/jobs", "/api/models", "/api/workers", "/v1/predictions", "/v2/models/stats"]
)
def test_lists_that_are_not_empty(described: Any, path: str) -> None:
    _finished()
    assert check(described[path]["GET"].Case()).status_code == 200


@pytest.mark.parametrize("path", [f"/api/jobs/{{job_id}}{end}" for end in ("", "/result", "/events")])
def test_a_finished_job(described: Any, path: str) -> None:
    assert check(described[path]["GET"].Case(path_parameters={"job_id": _finished()})).status_code == 200


def _finished() -> str:
    body = json.dumps({"model": "digits", "inputs": DIGIT})
    response = Client().post("/api/jobs", body, content_type="application/json", headers={"Prefer": "wait=5"})
    return str(json.loads(response.content)["id"])


def _name_what_exists(case: Any) -> None:
    """What is asked for at random does not exist, or is none of the names that exist."""
    there = {"name": "digits", "version": "1", "label": "stable"}
    if "job_id" in case.path_parameters:
        there["job_id"] = _finished()
    if "name" in case.path_parameters:
        Client().post("/api/models/digits/resume")  # another request may have paused it
    case.path_parameters |= {name: value for name, value in there.items() if name in case.path_parameters}
    if isinstance(case.body, dict):
        for field in {"model", "version"} & case.body.keys():
            case.body[field] = "digits" if field == "model" else "1"


def _all(strategy: Any) -> list[Any]:
    found = []

    @given(case=strategy)
    @ANY
    def keep(case: Any) -> None:
        found.append(case)

    keep()
    return found
