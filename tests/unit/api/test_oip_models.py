"""What the Open Inference Protocol tells of the server and its models."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, override_settings

from predict_worker.core.ports import Heartbeat, ModelEntry, ServedCounts, VersionStatus
from predict_worker.core.spec import BatchPolicy, Signature, TensorSpec
from tests.unit.api.database import bearer, issue
from tests.unit.api.oip import infer, refused
from tests.unit.world import DIGITS, World, spec

STATS = (
    "success",
    "fail",
    "queue",
    "compute_input",
    "compute_infer",
    "compute_output",
    "cache_hit",
    "cache_miss",
)


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server_names_itself_and_its_extensions(client: Client, path: str) -> None:
    body = client.get(path).json()
    assert body["name"] == "predict-worker"
    assert body["version"]
    assert {"binary_tensor_data", "classification"} <= set(body["extensions"])


def test_health(client: Client, world: World) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    world.store.away = {"ping"}
    refused(client.get("/v2/health/ready"), 503, "away")
    assert client.get("/v2/health/live").status_code == 200


def test_without_a_ready_worker_it_is_not_ready(client: Client, world: World) -> None:
    world.catalogue_store.leave("n1:1")
    response = client.get("/v2/health/ready")
    assert (response.status_code, response.json()["ready"]) == (503, False)
    assert response.json()["error"]


def test_a_models_metadata(client: Client) -> None:
    expected = {
        "name": "digits",
        "versions": ["1"],
        "platform": "tensorflow_savedmodel",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 8, 8, 1]}],
        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}],
    }
    for path in ("/v2/models/digits", "/v2/models/digits/versions/1", "/v2/models/digits/versions/stable"):
        assert client.get(path).json() == expected
    refused(client.get("/v2/models/digits/versions/2"), 404, "no version 2")
    refused(client.get("/v2/models/digit"), 404, "did you mean digits")
    refused(client.get("/v2/models/-"), 400, "model")
    refused(client.get("/v2/models/fresh"), 503, "no worker has loaded version 3")


def test_a_model_without_a_default_signature_shows_the_one_it_has(client: Client, world: World) -> None:
    other = Signature("tiny", (TensorSpec("t", "string", None),), (TensorSpec("u", "bool", ()),))
    world.catalogue_store.publish_specs([spec("digits", signature=other)])
    assert client.get("/v2/models/digits").json()["inputs"] == [
        {"name": "t", "datatype": "BYTES", "shape": [-1]}
    ]


def test_readiness_of_a_model(client: Client, world: World) -> None:
    for path in ("/v2/models/digits/ready", "/v2/models/digits/versions/1/ready"):
        assert client.get(path).json() == {"name": "digits", "ready": True}
    response = client.get("/v2/models/fresh/ready")
    assert (response.status_code, response.json()["ready"]) == (503, False)
    assert "version 3" in response.json()["error"]
    refused(client.get("/v2/models/nobody/ready"), 404, "nobody")
    client.post("/api/models/digits/pause")
    assert client.get("/v2/models/digits/ready").json()["error"] == "the model is paused"


def test_a_models_configuration(client: Client, world: World) -> None:
    batch = BatchPolicy(max_rows=8, linger_ms=1.5, pad_to=(4, 8))
    world.catalogue_store.publish_specs([spec("digits", batch=batch)])
    config = client.get("/v2/models/digits/config").json()
    assert config["max_batch_size"] == 8
    x = {"name": "x", "data_type": "TYPE_FP32", "format": "FORMAT_NONE", "dims": [8, 8, 1]}
    assert config["input"] == [x]
    assert config["dynamic_batching"]["preferred_batch_size"] == [4, 8]
    assert config["dynamic_batching"]["max_queue_delay_microseconds"] == 1500


def test_one_without_a_batch_dimension_is_not_batched(client: Client, world: World) -> None:
    fixed = Signature("serving_default", (TensorSpec("t", "string", (3,)),), (TensorSpec("u", "int8", (2,)),))
    world.catalogue_store.publish_specs([spec("digits", signature=fixed)])
    config = client.get("/v2/models/digits/versions/1/config").json()
    assert (config["max_batch_size"], "dynamic_batching" in config) == (0, False)
    assert config["input"] == [
        {"name": "t", "data_type": "TYPE_STRING", "format": "FORMAT_NONE", "dims": [3]}
    ]


@pytest.mark.parametrize(
    ("shape", "encoded", "expected"),
    [
        ((-1, 224, 224, 3), "image", "FORMAT_NHWC"),
        ((-1, -1, -1, -1), "image", "FORMAT_NHWC"),
        ((-1, 3, 224, 224), "image", "FORMAT_NCHW"),
        ((-1, 1, -1, -1), "image", "FORMAT_NCHW"),
        ((-1, 28, 28), "image", "FORMAT_NONE"),
        ((-1, 8), "text", "FORMAT_NONE"),
        ((-1, 224, 224, 3), "", "FORMAT_NONE"),
    ],
)
def test_an_image_has_its_layout(
    client: Client, world: World, shape: tuple[int, ...], encoded: str, expected: str
) -> None:
    """By which Triton's image client makes tensors of files."""
    signature = Signature("serving_default", (TensorSpec("x", "float32", shape, encoded),), ())
    world.catalogue_store.publish_specs([spec("digits", signature=signature)])
    (given,) = client.get("/v2/models/digits/config").json()["input"]
    assert (given["format"], given["dims"]) == (expected, list(shape[1:]))


def test_the_repositorys_index(client: Client, world: World) -> None:
    failed = VersionStatus("fresh", 3, "END", "a broken file")
    world.catalogue_store.beat(Heartbeat("n2:1", "host", 2, "ready", 0, (failed,)), 60)
    world.catalogue_store.publish_models([ModelEntry("empty", (), error="no version can be read")])
    ready = [{"name": name, "version": "1", "state": "READY", "reason": ""} for name in ("digits", "pair")]
    index = client.post("/v2/repository/index", b"", "application/json").json()
    assert [row for row in index if row["state"] == "READY"] == ready
    assert {row["name"]: (row["version"], row["reason"]) for row in index if row not in ready} == {
        "empty": ("", "no version can be read"),
        "fresh": ("3", "a broken file"),
    }
    assert client.post("/v2/repository/index", {"ready": True}, "application/json").json() == ready
    refused(client.post("/v2/repository/index", {"ready": 1}, "application/json"), 400, "ready")


def test_an_unloaded_model_refuses_until_it_is_loaded(client: Client, world: World) -> None:
    unload = {"parameters": {"unload_dependents": False}}
    response = client.post("/v2/repository/models/digits/unload", unload, "application/json")
    assert (response.status_code, response.json()) == (200, {})
    refused(infer(client, prefer="respond-async"), 503, "'digits'")
    assert client.get("/v2/models/digits/ready").status_code == 503
    index = client.post("/v2/repository/index", b"", "application/json").json()
    (row,) = [row for row in index if row["name"] == "digits"]
    assert (row["state"], row["reason"]) == ("UNAVAILABLE", "the model is draining")
    assert client.post("/v2/repository/models/digits/load", b"", "application/json").status_code == 200
    assert infer(client, prefer="respond-async").status_code == 202


@pytest.mark.parametrize("parameter", ["config", "file:1/model.onnx"])
def test_models_come_from_the_repository_alone(client: Client, parameter: str) -> None:
    body = {"parameters": {parameter: "{}"}}
    refused(client.post("/v2/repository/models/digits/load", body, "application/json"), 501, parameter)
    refused(client.post("/v2/repository/models/nobody/load", b"", "application/json"), 404, "nobody")


@pytest.mark.parametrize("what", ["load", "unload"])
def test_operators_are_staff(client: Client, what: str) -> None:
    with override_settings(
        PREDICT_WORKER={"ALLOW_ANONYMOUS": False},
        REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": ["tests.unit.api.test_operating.ByRole"]},
    ):
        path = f"/v2/repository/models/digits/{what}"
        refused(client.post(path), 401)
        refused(client.post(path, headers={"authorization": "user"}), 403)
        assert (
            client.post(path, b"", "application/json", headers={"authorization": "staff"}).status_code == 200
        )
        assert client.get("/v2/health/live").status_code == 200
        refused(client.get("/v2/models/digits"), 401)


def test_statistics_are_what_the_workers_have_counted(client: Client, world: World) -> None:
    status = (VersionStatus("digits", 1, "AVAILABLE"),)
    for consumer, counts in (
        (
            "n1:1",
            ServedCounts("digits", 1, 3, 1, rows=9, batches=2, queue_ms=1.5, predict_ms=2.0, last_us=7_000),
        ),
        (
            "n2:1",
            ServedCounts("digits", 1, 1, 0, rows=1, batches=1, queue_ms=0.5, predict_ms=1.0, last_us=9_000),
        ),
    ):
        beat = Heartbeat(consumer, "host", 1, "ready", 0, status, served=(counts,))
        world.catalogue_store.beat(beat, 60)
    (stats,) = client.get("/v2/models/digits/stats").json()["model_stats"]
    assert (stats["name"], stats["version"], stats["last_inference"]) == ("digits", "1", 9)
    assert (stats["inference_count"], stats["execution_count"]) == (10, 3)
    counted: dict[str, Any] = stats["inference_stats"]
    assert set(counted) == set(STATS)
    assert counted["success"] == {"count": 4, "ns": 5_000_000}
    assert counted["fail"]["count"] == 1
    assert counted["queue"] == {"count": 4, "ns": 2_000_000}
    assert counted["compute_infer"] == {"count": 4, "ns": 3_000_000}
    assert counted["cache_hit"] == {"count": 0, "ns": 0}
    assert client.get("/v2/models/digits/versions/1/stats").json()["model_stats"] == [stats]
    everything = client.get("/v2/models/stats").json()["model_stats"]
    assert {(one["name"], one["version"]) for one in everything} == {
        ("digits", "1"),
        ("fresh", "3"),
        ("pair", "1"),
    }
    refused(client.get("/v2/models/nobody/stats"), 404, "nobody")


def test_a_tensor_that_the_protocol_has_no_word_for_is_501(client: Client, world: World) -> None:
    odd = Signature("serving_default", (TensorSpec("z", "complex64", (-1,)),), DIGITS.outputs)
    world.catalogue_store.publish_specs([spec("digits", signature=odd)])
    refused(client.get("/v2/models/digits"), 501, "complex64")


@pytest.mark.usefixtures("database")
def test_a_key_sees_its_models_alone_and_reads_with_the_scope_for_it(client: Client, world: World) -> None:
    headers = bearer(issue(models="digits", scopes="read"))
    index = client.post("/v2/repository/index", b"", "application/json", headers=headers).json()
    assert [row["name"] for row in index] == ["digits"]
    everything = client.get("/v2/models/stats", headers=headers).json()["model_stats"]
    assert [stats["name"] for stats in everything] == ["digits"]
    assert client.get("/v2/models/digits", headers=headers).status_code == 200
    refused(client.get("/v2/models/pair/ready", headers=headers), 403, "pair")
    refused(client.post("/v2/models/digits/infer", b"", "application/json", headers=headers), 403, "predict")
