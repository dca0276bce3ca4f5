"""Inference over the Open Inference Protocol, in JSON."""

from __future__ import annotations

import gc
import gzip
import json
import zlib
from typing import Any

import numpy as np
import pytest
from django.test import Client, override_settings

from predict_worker.core.job import JobError
from predict_worker.core.spec import TensorSpec
from tests.unit.api.oip import INFER, X, answered, echo, infer, post, refused, tensor
from tests.unit.world import World

A = {"name": "a", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, 4]]}
B = {"name": "b", "shape": [2], "datatype": "INT64", "data": [10, 100]}


def test_a_digit_is_answered_and_its_id_echoed(client: Client, world: World) -> None:
    response = answered(client, world, {"id": "42", "inputs": [X]})
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    (output,) = response.json().pop("outputs")
    assert output == {"name": "probabilities", "datatype": "FP32", "shape": [1, 10], "data": [0.1] * 10}
    body = response.json()
    assert (body["model_name"], body["model_version"], body["id"]) == ("digits", "1", "42")


def test_without_an_id_the_jobs_stands_there(client: Client, world: World) -> None:
    assert len(answered(client, world).json()["id"]) > 30


def test_nested_data_and_outputs_that_are_asked_for_in_their_order(client: Client, world: World) -> None:
    fields = {"inputs": [B, A], "outputs": [{"name": "product"}, {"name": "sum"}]}
    product, total = answered(client, world, fields, model="pair").json()["outputs"]
    assert (product["name"], product["data"]) == ("product", [10, 20, 300, 400])
    assert (total["name"], total["shape"], total["data"]) == ("sum", [2, 2], [11, 12, 103, 104])
    alone = {"inputs": [A, B], "outputs": [{"name": "sum"}]}
    (only,) = answered(client, world, alone, model="pair").json()["outputs"]
    assert only["name"] == "sum"


def test_a_version_or_a_label_in_the_path(client: Client, world: World) -> None:
    for version in ("1", "stable"):
        with world.working():
            response = infer(client, at=f"/v2/models/digits/versions/{version}/infer")
        assert response.json()["model_version"] == "1"
    refused(infer(client, at="/v2/models/digits/versions/9/infer"), 404, "no version 9")
    refused(infer(client, at="/v2/models/digits/versions/canary/infer"), 404, "no label 'canary'")
    refused(infer(client, at="/v2/models/nobody/infer"), 404, "no model 'nobody'")


@pytest.mark.parametrize(
    "path", ["nobody", "nobody/config", "nobody/ready", "nobody/stats", "digits/versions/9"]
)
def test_what_does_not_exist_is_told_in_the_words_clients_look_for(
    client: Client, world: World, path: str
) -> None:
    message = refused(client.get(f"/v2/models/{path}"), 404, "no ")
    assert message.startswith("Request for unknown model: ")


@pytest.mark.parametrize(
    ("datatype", "dtype", "data"),
    [
        ("BOOL", "bool", [True, False]),
        ("UINT8", "uint8", [0, 255]),
        ("UINT64", "uint64", [0, 2**64 - 1]),
        ("INT8", "int8", [-128, 127]),
        ("INT64", "int64", [-(2**63), 2**63 - 1]),
        ("FP32", "float32", [1.5, "NaN"]),
        ("FP64", "float64", ["-Infinity", 0.1]),
        ("BYTES", "string", ["", "grüezi"]),
    ],
)
def test_every_datatype_comes_and_goes(
    client: Client, world: World, datatype: str, dtype: str, data: list[Any]
) -> None:
    echo(world, TensorSpec("x", dtype, (-1,)))
    fields = {"inputs": [{"name": "x", "shape": [2], "datatype": datatype, "data": data}]}
    response = answered(client, world, fields, model="echo")
    assert response.json()["outputs"] == [{"name": "x_out", "datatype": datatype, "shape": [2], "data": data}]


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({}, ("inputs", "nothing")),
        ({"inputs": []}, ("inputs", "at least one")),
        ({"inputs": [3]}, ("inputs[0]", "an object")),
        ({"inputs": [tensor(name=None)]}, ("inputs[0].name", "nothing")),
        ({"inputs": [X, X]}, ("inputs[1].name", "twice")),
        ({"inputs": [tensor(name="y")]}, ("inputs.y", "unknown")),
        ({"inputs": [tensor(shape=None)]}, ("inputs[0].shape",)),
        ({"inputs": [tensor(shape=[-1, 8, 8, 1])]}, ("inputs[0].shape[0]", "-1")),
        ({"inputs": [tensor(shape=[True, 8, 8, 1])]}, ("inputs[0].shape[0]",)),
        ({"inputs": [tensor(shape=[1] * 33)]}, ("inputs[0].shape", "32")),
        ({"inputs": [tensor(shape=[0, 2**62], data=[])]}, ("inputs[0].shape", "elements")),
        ({"inputs": [tensor(shape=[2, 8, 8, 1])]}, ("inputs[0].data", "a list of 128", "a list of 64")),
        ({"inputs": [tensor(shape=[64])]}, ("inputs.x", "shape [-1, 8, 8, 1]")),
        ({"inputs": [tensor(shape=[0, 8, 8, 1], data=[])]}, ("inputs", "at least one row")),
        ({"inputs": [tensor(datatype="FLOAT")]}, ("inputs[0].datatype", "FP32", "'FLOAT'")),
        ({"inputs": [tensor(datatype=["FP32"])]}, ("inputs[0].datatype",)),
        ({"inputs": [tensor(datatype="FP64")]}, ("inputs.x", "an array of float32", "float64")),
        ({"inputs": [tensor(datatype="FP16")]}, ("inputs[0]", "FP16 has no JSON")),
        ({"inputs": [tensor(data=None)]}, ("inputs[0].data", "nothing")),
        ({"inputs": [tensor(data=["a"] + [0] * 63)]}, ("inputs[0].data[0]", "'a'")),
        ({"inputs": [X], "id": 7}, ("id", "a string")),
        ({"inputs": [X], "parameters": []}, ("parameters", "an object")),
        ({"inputs": [X], "parameters": {"priority": -1}}, ("parameters.priority",)),
        ({"inputs": [X], "parameters": {"timeout": 1.5}}, ("parameters.timeout", "microseconds")),
        ({"inputs": [X], "parameters": {"timeout": 2**63}}, ("deadline_s",)),
        ({"inputs": [X], "parameters": {"sequence_id": 5}}, ("parameters.sequence_id", "no sequence")),
        ({"inputs": [X], "parameters": {"binary_data_output": 1}}, ("binary_data_output",)),
        ({"inputs": [X], "parameters": {"signature_name": "other"}}, ("signature_name", "'other'")),
        ({"inputs": [tensor(parameters={"shared_memory_region": "a"})]}, ("no shared memory",)),
        ({"inputs": [X], "outputs": {}}, ("outputs", "a list")),
        ({"inputs": [X], "outputs": [{"name": "label"}]}, ("outputs[0]", "probabilities", "'label'")),
        ({"inputs": [X], "outputs": [{"name": "probabilities"}] * 2}, ("outputs[1].name", "twice")),
        (
            {"inputs": [X], "outputs": [{"name": "probabilities", "parameters": {"classification": "2"}}]},
            ("outputs[0].parameters.classification",),
        ),
        ([], ("body", "a JSON object")),
        (b"{", ("body", "line 1")),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_queued(
    client: Client, world: World, fields: Any, parts: tuple[str, ...]
) -> None:
    response = post(client, fields) if isinstance(fields, bytes) else infer(client, fields)
    refused(response, 400, *parts)
    assert "submit" not in world.store.calls
    assert world.service.queues.stats("digits").waiting == 0


def test_what_the_protocol_leaves_to_servers_is_no_error(client: Client, world: World) -> None:
    more = {"sequence_id": 0, "sequence_start": False, "content_type": "np"}
    fields = {"inputs": [tensor(parameters={"content_type": "np"})], "model_name": "digits"}
    assert answered(client, world, {**fields, "parameters": more, "outputs": []}).status_code == 200
    assert (
        answered(client, world, {**fields, "parameters": None, "id": None, "outputs": None}).status_code
        == 200
    )


@pytest.mark.parametrize(("level", "priority"), [(0, "normal"), (1, "high"), (2, "normal"), (3, "low")])
def test_priority_one_is_the_highest(client: Client, world: World, level: int, priority: str) -> None:
    response = infer(client, {"inputs": [X], "parameters": {"priority": level}}, prefer="respond-async")
    job = world.service.get(response.json()["parameters"]["job"], "").job
    assert job.priority == priority


def test_a_timeout_is_the_jobs_deadline(client: Client, world: World) -> None:
    fields = {"inputs": [X], "parameters": {"timeout": 2_000_000}}
    job_id = infer(client, fields, prefer="respond-async").json()["parameters"]["job"]
    job = world.service.get(job_id, "").job
    assert job.deadline_at is not None
    assert (job.deadline_at - job.created_at).total_seconds() == 2


def test_classes_are_the_highest_values_first(client: Client, world: World) -> None:
    echo(world, TensorSpec("x", "float32", (-1, 4)))
    data = [0.1, 0.75, "NaN", 0.75, 1e-9, 5, 2, 3]
    given = {"name": "x", "shape": [2, 4], "datatype": "FP32", "data": data}
    fields = {"inputs": [given], "outputs": [{"name": "x_out", "parameters": {"classification": 2}}]}
    (output,) = answered(client, world, fields, model="echo").json()["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, 2])
    assert output["data"] == ["0.75:1", "0.75:3", "5.0:1", "3.0:3"]
    fields["outputs"] = [{"name": "x_out", "parameters": {"classification": 9}}]
    (output,) = answered(client, world, fields, model="echo").json()["outputs"]
    assert output["data"][:4] == ["0.75:1", "0.75:3", "0.1:0", "nan:2"]
    assert output["shape"] == [2, 4]


def test_strings_have_no_classes(client: Client, world: World) -> None:
    echo(world, TensorSpec("x", "string", (-1,)))
    given = {"name": "x", "shape": [1], "datatype": "BYTES", "data": ["a"]}
    fields = {"inputs": [given], "outputs": [{"name": "x_out", "parameters": {"classification": 1}}]}
    refused(answered(client, world, fields, model="echo"), 400, "outputs.x_out", "strings")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("invalid_input", 400),
        ("version_gone", 404),
        ("model_error", 500),
        ("model_unavailable", 503),
        ("timeout", 504),
    ],
)
def test_a_job_that_fails_says_why(client: Client, world: World, code: str, status: int) -> None:
    error = JobError(code, "A title", "the very reason")
    refused(answered(client, world, error=error), status, "the very reason")


def test_one_that_is_late_is_504_and_cancelled(client: Client, world: World) -> None:
    with override_settings(
        PREDICT_WORKER={"ALLOW_ANONYMOUS": True, "MAX_BODY_BYTES": 4096, "MAX_WAIT_S": 0.05}
    ):
        refused(infer(client), 504, "respond-async")
    assert world.claim() == ()


def test_overload_and_a_store_that_is_away_are_503(client: Client, world: World) -> None:
    client.post("/api/models/digits/drain")
    response = infer(client)
    refused(response, 503, "'digits'")
    assert int(response["Retry-After"]) >= 1
    world.store.away = {"*"}
    refused(infer(client), 503, "away")


def test_respond_async_makes_a_job_that_is_answered_as_it_was_asked(client: Client, world: World) -> None:
    form = {"name": "probabilities", "parameters": {"classification": 1}}
    response = infer(client, {"id": "mine", "inputs": [X], "outputs": [form]}, prefer="respond-async")
    body = response.json()
    assert (response.status_code, response["Preference-Applied"]) == (202, "respond-async")
    assert int(response["Retry-After"]) >= 1
    assert (body["model_name"], body["id"], body["outputs"]) == ("digits", "mine", [])
    assert body["parameters"]["state"] == "queued"
    at = response["Location"]
    assert at == f"/v2/models/digits/jobs/{body['parameters']['job']}"
    waiting = client.get(at)
    assert (waiting.status_code, waiting["Location"]) == (202, at)
    world.run()
    (output,) = client.get(at).json()["outputs"]
    assert (client.get(at).json()["id"], output["data"]) == ("mine", ["0.1:0"])
    native = client.get(f"/api/jobs/{body['parameters']['job']}").json()
    assert native["state"] == "succeeded"


def test_any_job_of_the_model_is_readable_here(client: Client, world: World) -> None:
    native = client.post("/api/jobs", {"model": "digits", "inputs": ROWS}, "application/json").json()["id"]
    refused(client.get(f"/v2/models/pair/jobs/{native}"), 404, native)
    refused(client.get("/v2/models/digits/jobs/nothing"), 404, "nothing")
    with world.working():
        response = client.get(f"/v2/models/digits/jobs/{native}", headers={"prefer": "wait=5"})
    assert response.json()["outputs"][0]["shape"] == [1, 10]
    cancelled = infer(client, prefer="respond-async")
    client.post(f"/api/jobs/{cancelled.json()['parameters']['job']}/cancel")
    refused(client.get(cancelled["Location"]), 409, "cancelled")


ROWS = [[[[0.0]] * 8] * 8]


def test_metadata_that_only_looks_like_ours_is_no_server_error(client: Client, world: World) -> None:
    for kept, status in (
        ({"outputs": [{"name": "nothing"}]}, 400),
        ({"outputs": [{"name": 3}]}, 400),
        ({"id": []}, 400),
        ("text", 200),
    ):
        body = {"model": "digits", "inputs": ROWS, "metadata": {"open_inference": kept}}
        job_id = client.post("/api/jobs", body, "application/json").json()["id"]
        world.run()
        response = client.get(f"/v2/models/digits/jobs/{job_id}")
        assert response.status_code == status, response.content


def test_a_request_leaves_nothing_to_the_garbage_collector(client: Client, world: World) -> None:
    nested = tensor(data=[[[[0.0]] * 8] * 8])
    assert infer(client, {"inputs": [nested]}, prefer="respond-async").status_code == 202
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        infer(client, {"inputs": [nested]}, prefer="respond-async")
        infer(client, {"inputs": [nested], "outputs": [{"name": "no"}]})
        gc.collect()
        left = [one for one in gc.garbage if one == [0.0]]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []


def test_what_a_job_would_have_to_keep_is_bounded(client: Client, world: World) -> None:
    refused(infer(client, {"id": "a" * 1100, "inputs": [X]}, prefer="respond-async"), 400, "id, parameters")
    assert answered(client, world, {"id": "a" * 1100, "inputs": [X]}).json()["id"] == "a" * 1100


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compressed_both_ways(client: Client, world: World, coding: str) -> None:
    echo(world, TensorSpec("x", "uint8", (-1,)))
    pack, unpack = (gzip.compress, gzip.decompress) if coding == "gzip" else (zlib.compress, zlib.decompress)
    given = {"name": "x", "shape": [600], "datatype": "UINT8", "data": [7] * 600}
    raw = pack(json.dumps({"inputs": [given]}).encode())
    with world.working("echo"):
        response = post(
            client,
            raw,
            "/v2/models/echo/infer",
            content_encoding=coding,
            accept_encoding=f"br, {coding};q=0.5",
        )
    assert (response["Content-Encoding"], response["Vary"]) == (coding, "Accept-Encoding")
    assert json.loads(unpack(response.content))["outputs"][0]["data"] == [7] * 600


@pytest.mark.parametrize("accepted", ["", "br", "gzip;q=0, deflate; q=0.0", "identity"])
def test_nobody_gets_it_compressed_who_did_not_ask(client: Client, world: World, accepted: str) -> None:
    echo(world, TensorSpec("x", "uint8", (-1,)))
    given = {"name": "x", "shape": [600], "datatype": "UINT8", "data": [7] * 600}
    with world.working("echo"):
        response = infer(client, {"inputs": [given]}, at="/v2/models/echo/infer", accept_encoding=accepted)
    assert "Content-Encoding" not in response
    assert response.json()["outputs"][0]["data"] == [7] * 600


def test_a_model_that_nobody_has_loaded_is_asked_all_the_same(client: Client, world: World) -> None:
    response = infer(client, at="/v2/models/fresh/infer", prefer="respond-async")
    assert response.status_code == 202
    assert np.asarray(world.claim("fresh")[0].rows) == 1


def test_other_methods_and_paths(client: Client) -> None:
    response = client.get(INFER)
    refused(response, 405, "GET")
    assert response["Allow"] == "POST, OPTIONS"
    for path in ("/v2/models/digits/nothing", "/v2/health/", "/v2/repository/models/digits"):
        refused(client.get(path), 404, path)
    for path in ("/v2/systemsharedmemory/status", "/v2/cudasharedmemory/region/a/status", "/v2/logging"):
        refused(client.get(path), 501, "not offered")
    for path in ("generate", "versions/1/infer_stream"):
        response = client.post(f"/v2/models/digits/{path}", b"{}", "application/json")
        refused(response, 501, "not offered")
    refused(client.post("/v2/systemsharedmemory/region/a/register", b"{}", "application/json"), 501)
    assert client.get("/v2/mine").status_code == 404
