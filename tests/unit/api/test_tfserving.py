"""TensorFlow Serving's REST API: predict, errors, status and metadata."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from django.test import Client, override_settings

from predict_worker.core.job import JobError
from predict_worker.core.ports import ModelEntry, VersionStatus
from predict_worker.core.spec import TensorSpec
from tests.unit.api.tfserving import HALF, ask, refused
from tests.unit.world import World, spec, worker

# ---------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"instances": [[2.0], [3.0]]}, {"predictions": [[3.0], [3.5]]}),
        ({"instances": [{"x": [2.0]}]}, {"predictions": [[3.0]]}),
        ({"inputs": [[2.0], [3.0]]}, {"outputs": [[3.0], [3.5]]}),
        ({"inputs": {"x": [[2.0]]}}, {"outputs": [[3.0]]}),
        ({"instances": [2.0, 3.0, 4.0]}, {"predictions": [3.0, 3.5, 4.0]}),
        ({"instances": [{"x": 2.0}, {"x": 3}]}, {"predictions": [3.0, 3.5]}),
        ({"inputs": [2.0, 3.0, 4.0]}, {"outputs": [3.0, 3.5, 4.0]}),
        ({"inputs": {"x": [2.0]}}, {"outputs": [3.0]}),
        ({"signature_name": "serving_default", "instances": [[2.0]]}, {"predictions": [[3.0]]}),
        ({"signature_name": "", "instances": [[2.0]], "more": 1}, {"predictions": [[3.0]]}),
    ],
)
def test_rows_and_columns_are_answered_in_kind(client: Client, half: World, asked: Any, told: Any) -> None:
    with half.working("half"):
        response = ask(client, "half:predict", asked)
    assert (response.status_code, response.json()) == (200, told)


def test_several_inputs_and_outputs_go_by_name(client: Client, half: World) -> None:
    with half.working("pair"):
        rows = ask(client, "pair:predict", {"instances": [{"a": [1, 2], "b": 3}, {"a": [4, 5], "b": 0}]})
    with half.working("pair"):
        columns = ask(client, "pair:predict", {"inputs": {"a": [[1, 2]], "b": [3]}})
    assert rows.json() == {
        "predictions": [
            {"sum": [4.0, 5.0], "product": [3.0, 6.0]},
            {"sum": [4.0, 5.0], "product": [0.0, 0.0]},
        ]
    }
    assert columns.json() == {"outputs": {"sum": [[4.0, 5.0]], "product": [[3.0, 6.0]]}}


@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_floats_that_are_not_finite_are_bare_both_ways(client: Client, half: World, key: str) -> None:
    with half.working("half"):
        response = ask(
            client, "half:predict", b'{"%s": [[NaN], [Infinity], [-Infinity], [0.2]]}' % key.encode()
        )
    assert response.status_code == 200
    told = b"[[NaN],[Infinity],[-Infinity],[2.1]]"
    assert response.content == b'{"%s":%s}' % (b"predictions" if key == "instances" else b"outputs", told)


def test_bytes_are_in_base64_and_texts_are_not(client: Client, half: World) -> None:
    asked = {"instances": ["a", {"b64": "/wA="}, {"text": "b"}["text"]]}
    with half.working("texts"):
        response = ask(client, "texts:predict", asked)
    assert response.json()["predictions"] == [
        {"label": "a", "raw_bytes": {"b64": "YQ=="}},
        {"label": {"b64": "/wA="}, "raw_bytes": {"b64": "/wA="}},
        {"label": "b", "raw_bytes": {"b64": "Yg=="}},
    ]


@pytest.mark.parametrize(
    ("at", "version"),
    [("half", 2), ("half/versions/1", 1), ("half/versions/002", 2), ("half/labels/stable", 1)],
)
def test_the_path_says_which_version(client: Client, half: World, at: str, version: int) -> None:
    response = ask(client, f"{at}:PreDict", {"instances": [1.0]}, prefer="respond-async")
    assert response.status_code == 202, response.content
    assert half.store.get(response.json()["job"]).version == version


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "application/json"])
def test_the_content_type_does_not_matter(client: Client, half: World, kind: str) -> None:
    with half.working("half"):
        assert ask(client, "half:predict", {"instances": [2.0]}, content_type=kind).json() == {
            "predictions": [3.0]
        }


def test_a_body_may_be_compressed(client: Client, half: World) -> None:
    with half.working("half"):
        raw = gzip.compress(b'{"instances": [2.0]}')
        assert ask(client, "half:predict", raw, content_encoding="gzip").status_code == 200


def test_the_names_in_a_path_are_decoded(client: Client, half: World) -> None:
    assert client.get("/v1/models/h%61lf").status_code == 200


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"{", "JSON Parse error: "),
        (b"[1]", "JSON Parse error: expected an object, got a list of 1"),
        (b'{"instances": [1e999]}', "JSON Parse error: "),
        (b"[" * 3000, "JSON Parse error: "),
        (b'{"signature_name": "\\ud800", "instances": [1.0]}', "JSON Parse error: "),
        (b'{"instances": [{"\\ud800": NaN}]}', "JSON Parse error: "),
        ({"signature_name": 5, "instances": [1.0]}, "'signature_name' key must be a string value."),
        (
            {"signature_name": "x", "instances": [1.0]},
            'Serving signature name: "x" not found in signature def',
        ),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": [1.0], "inputs": [1.0]}, "expected only one of 'inputs' and 'instances' keys"),
        ({"instances": []}, "instances: expected a list of at least one row, got a list of 0"),
        ({"instances": 2.0}, "instances: expected a list of at least one row"),
        ({"instances": [["five"]]}, "instances[0][0]: JSON value 'five' is not of expected type: float"),
        ({"instances": ["five"]}, "instances[0][0]: JSON value 'five' is not of expected type: float"),
        ({"inputs": [[True]]}, "inputs[0][0]: JSON value true is not of expected type: float"),
        ({"instances": [{"y": 1.0}]}, "instances[0].y: expected one of x, got an unknown input"),
        ({"instances": [{}]}, "instances[0].x"),
        ({"instances": [2.0, [3.0]]}, "instances[1][0]"),
        ({"instances": [[2.0, 3.0]]}, "instances[0]: expected a list of 1, got a list of 2"),
        ({"inputs": []}, "at least one row"),
    ],
)
def test_what_is_sent_wrongly_is_400_and_queues_nothing(
    client: Client, half: World, body: Any, text: str
) -> None:
    refused(ask(client, "half:predict", body), 400, text)
    assert "submit" not in half.store.calls


def test_half_a_character_never_reaches_the_store(client: Client, half: World) -> None:
    refused(
        ask(client, "fresh:predict", b'{"signature_name": "\\ud800", "inputs": [NaN]}'),
        400,
        "JSON Parse error: ",
    )
    assert "submit" not in half.store.calls


def test_a_number_too_long_for_any_parser_is_400(client: Client, half: World) -> None:
    with override_settings(PREDICT_WORKER={"ALLOW_ANONYMOUS": True}):
        for raw in (b'{"inputs": [[%s]]}', b'{"inputs": [[NaN], [%s]]}', b'{"inputs": [[NaN], [-%s]]}'):
            refused(ask(client, "half:predict", raw % (b"9" * 5000)), 400, "")


@pytest.mark.parametrize(
    ("at", "status", "text"),
    [
        ("null:predict", 404, "Servable not found for request: Latest(null)"),
        ("a%20b:predict", 404, "Servable not found for request: Latest(a b)"),
        ("half/versions/7:predict", 404, "Servable not found for request: Specific(half, 7)"),
        ("half/labels/none:predict", 400, "Unrecognized servable version label: none"),
        ("half:guess", 400, "Malformed request: POST /v1/models/half:guess"),
        ("half", 400, "Malformed request: POST /v1/models/half"),
        ("half/metadata", 400, "Malformed request: POST /v1/models/half/metadata"),
        ("half/versions/1x:predict", 400, "Malformed request: POST"),
        ("half/versions/" + "1" * 5000 + ":predict", 400, "Malformed request: POST"),
        ("half/versions/1/labels/stable:predict", 400, "Malformed request: POST"),
    ],
)
def test_a_path_that_leads_nowhere_is_told_so(
    client: Client, half: World, at: str, status: int, text: str
) -> None:
    refused(ask(client, at, {"instances": [1.0]}), status, text)


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("get", "/v1/models", 400, "Missing model name in request."),
        ("get", "/v1/models/", 400, "Missing model name in request."),
        ("get", "/v1/models/half:predict", 400, "Malformed request: GET /v1/models/half:predict"),
        ("post", "/v1/foo", 400, "Malformed request: POST /v1/foo"),
        ("get", "/v1/models/null", 404, "Could not find any versions of model null"),
        ("get", "/v1/models/half/versions/9", 404, "Could not find version 9 of model half"),
        ("get", "/v1/models/half/labels/none", 400, "Unrecognized servable version label: none"),
        ("get", "/v1/models/null/metadata", 404, "Servable not found for request: Latest(null)"),
        ("get", "/v1/models/fresh/metadata", 404, "Servable not found for request: Latest(fresh)"),
        ("get", "/v1/models/half/jobs/1", 404, "no job '1'"),
    ],
)
def test_other_questions_are_refused_in_its_words(
    client: Client, half: World, method: str, path: str, status: int, text: str
) -> None:
    refused(getattr(client, method)(path), status, text)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("invalid_input", 400),
        ("version_gone", 404),
        ("model_unavailable", 503),
        ("retryable", 503),
        ("timeout", 504),
        ("model_error", 500),
        ("worker_died", 500),
    ],
)
def test_a_job_that_failed_is_an_error_with_its_detail(
    client: Client, half: World, code: str, status: int
) -> None:
    with half.working("half", error=JobError(code, "Failed", "the tensor is too blue")):
        refused(ask(client, "half:predict", {"instances": [1.0]}), status, "the tensor is too blue")


def test_a_full_queue_is_503_with_when_to_come_back(client: Client, half: World) -> None:
    half.catalogue_store.publish_models([ModelEntry("half", (1, 2), queue_max_jobs=1)])
    ask(client, "half:predict", {"instances": [1.0]}, prefer="respond-async")
    response = ask(client, "half:predict", {"instances": [1.0]})
    refused(response, 503, "half")
    assert response["Retry-After"] == "1"


def test_a_store_that_is_away_is_503(client: Client, half: World) -> None:
    half.store.away = {"*"}
    refused(ask(client, "half:predict", {"instances": [1.0]}), 503, "away")


def test_a_late_answer_is_504_and_its_job_is_cancelled(client: Client, half: World) -> None:
    half.service._limits = replace(half.service._limits, max_wait_s=0.01)
    refused(ask(client, "half:predict", {"instances": [1.0]}), 504, "no result within")
    assert "cancel" in half.store.calls


def test_a_body_that_is_too_large_is_400(client: Client, half: World) -> None:
    refused(ask(client, "half:predict", {"instances": [1.0] * 5000}), 400, "MAX_BODY_BYTES")


def test_rows_need_outputs_with_as_many_of_them(client: Client, half: World) -> None:
    answers: list[tuple[dict[str, Any], str]] = [
        (
            {"sum": np.ones((2, 2), np.float32), "product": np.ones((1, 2), np.float32)},
            "expecting batch size: 2",
        ),
        (
            {"sum": np.float32(1) * np.ones(()), "product": np.ones(1)},
            "Tensor name: sum has no shape information",
        ),
        ({"sum": np.ones((0, 2)), "product": np.ones(1)}, "Tensor name: sum has invalid batch size: 0"),
    ]
    for outputs, text in answers:
        half.answer = lambda model, entry, outputs=outputs: outputs  # type: ignore[method-assign,misc]
        with half.working("pair"):
            refused(ask(client, "pair:predict", {"instances": [{"a": [1, 2], "b": 3}]}), 400, text)


# ---------------------------------------------------------------- status and metadata


def test_status_lists_the_versions_that_workers_know(client: Client, half: World) -> None:
    ok = {"error_code": "OK", "error_message": ""}
    both = [{"version": v, "state": "AVAILABLE", "status": ok} for v in ("2", "1")]
    assert client.get("/v1/models/half").json() == {"model_version_status": both}
    for at in ("versions/1", "labels/stable"):
        assert client.get(f"/v1/models/half/{at}").json() == {"model_version_status": both[1:]}
    fresh = client.get("/v1/models/fresh").json()
    assert fresh == {"model_version_status": [{"version": "3", "state": "START", "status": ok}]}


def test_status_of_a_version_that_failed_says_why(client: Client, half: World) -> None:
    beat = worker(("half", 1))
    failed = VersionStatus("half", 2, "END", "no such op")
    half.catalogue_store.beat(replace(beat, models=(*beat.models, failed)), ttl_s=60)
    (first, second) = client.get("/v1/models/half").json()["model_version_status"]
    assert first == {
        "version": "2",
        "state": "END",
        "status": {"error_code": "UNKNOWN", "error_message": "no such op"},
    }
    assert second["state"] == "AVAILABLE"


def test_metadata_is_the_signatures_as_protobuf_writes_them(client: Client, half: World) -> None:
    told = client.get("/v1/models/half/labels/stable/metadata").json()
    assert told["model_spec"] == {"name": "half", "signature_name": "", "version": "1"}
    definition = told["metadata"]["signature_def"]["signature_def"]["serving_default"]
    dim = [{"size": "-1", "name": ""}, {"size": "1", "name": ""}]
    assert definition["inputs"] == {
        "x": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": dim, "unknown_rank": False}, "name": "x:0"}
    }
    assert (definition["method_name"], definition["defaults"]) == ("tensorflow/serving/predict", {})


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        *(("float16", "DT_HALF"), ("float64", "DT_DOUBLE"), ("int64", "DT_INT64"), ("uint8", "DT_UINT8")),
        *(("bool", "DT_BOOL"), ("string", "DT_STRING"), ("complex64", "DT_COMPLEX64")),
    ],
)
def test_dtypes_have_tensorflows_names(client: Client, half: World, dtype: str, name: str) -> None:
    signature = replace(HALF, outputs=(TensorSpec("y", dtype, None),))
    half.catalogue_store.publish_specs([spec("half", 2, signature)])
    told = client.get("/v1/models/half/metadata").json()
    tensor = told["metadata"]["signature_def"]["signature_def"]["serving_default"]["outputs"]["y"]
    assert tensor == {"dtype": name, "tensor_shape": {"dim": [], "unknown_rank": True}, "name": ""}


def test_metrics_are_prometheus_text(client: Client, half: World) -> None:
    ask(client, "half:predict", {"instances": [1.0]}, prefer="respond-async")
    response = client.get("/monitoring/prometheus/metrics")
    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = response.content.decode().splitlines()
    assert "# TYPE predict_worker_queue_waiting gauge" in lines
    assert 'predict_worker_queue_waiting{model="half"} 1' in lines
    assert 'predict_worker_model_ready_workers{model="half",version="2"} 1' in lines
    assert 'predict_worker_workers{state="ready"} 1' in lines


def test_every_answer_carries_its_request_id(client: Client, half: World) -> None:
    half_status: Callable[..., Any] = client.get
    assert half_status("/v1/models/half", headers={"X-Request-ID": "r-1"})["X-Request-ID"] == "r-1"
