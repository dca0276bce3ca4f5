"""The Open Inference Protocol as its published clients speak it: Triton's, and the protocol's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.errors import NotFoundError
from open_inference.openapi.types import InferenceRequest
from tritonclient.utils import InferenceServerException

from tests.system.stack import Stack, until

_MODEL = """
import numpy as np
from predict_worker.core.spec import Signature, TensorSpec

def tensor(name, dtype, shape):
    return TensorSpec(name, dtype, shape)

SIGNATURES = (Signature("serving_default", {inputs}, {outputs}),)

def load(directory):
    return {function}
"""
_MODELS = {
    # scores of 1000 classes: the given one has the highest, the next one the next
    "scores": {
        "inputs": '(tensor("x", "float32", (-1, 1)),)',
        "outputs": '(tensor("y", "float32", (-1, 1000)),)',
        "function": 'lambda x: {"y": -np.abs(np.arange(1000, dtype=np.float32) - x - np.float32(0.25))}',
    },
    "repeat": {
        "inputs": '(tensor("words", "string", (-1,)), tensor("times", "int32", (-1,)))',
        "outputs": '(tensor("repeated", "string", (-1,)),)',
        "function": 'lambda words, times: {"repeated": words * times.astype(object)}',
    },
    "half": {
        "inputs": '(tensor("x", "float16", (-1, 2)),)',
        "outputs": '(tensor("y", "float16", (-1, 2)),)',
        "function": 'lambda x: {"y": x / np.float16(2)}',
    },
    "mean": {
        "inputs": '(tensor("x", "float32", (-1, 224, 224, 3)),)',
        "outputs": '(tensor("y", "float32", (-1,)),)',
        "function": 'lambda x: {"y": x.mean(axis=(1, 2, 3))}',
    },
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name, parts in _MODELS.items():
        (root / name / "1").mkdir(parents=True)
        (root / name / "1" / "model.py").write_text(_MODEL.format(**parts))
    return root


@pytest.fixture(scope="module")
def stack(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    shared = Stack(tmp_path_factory.mktemp("stack"), models, PREDICT_WORKER_ALLOW_PYTHON_MODELS="1")
    try:
        yield shared.start(children=1)
    finally:
        shared.close()


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{stack.port}") as connected:
        yield connected


def given(name: str, datatype: str, array: Any, *, binary: bool) -> Any:
    tensor = triton.InferInput(name, list(array.shape), datatype)
    return tensor.set_data_from_numpy(array, binary_data=binary)


X = np.array([[3], [999], [0]], np.float32)
Y = -np.abs(np.arange(1000, dtype=np.float32) - X - np.float32(0.25))


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.is_model_ready("scores", "1")
    assert not client.is_model_ready("nobody")
    assert client.get_model_metadata("scores")["outputs"] == [
        {"name": "y", "datatype": "FP32", "shape": [-1, 1000]}
    ]
    assert client.get_model_config("scores", "1")["max_batch_size"] == 64


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_floats_in_json_and_in_binary_plain_and_compressed(
    client: Any, binary: bool, coding: str | None
) -> None:
    result = client.infer(
        "scores",
        [given("x", "FP32", X, binary=binary)],
        outputs=[triton.InferRequestedOutput("y", binary_data=binary)],
        request_id="a request",
        priority=1,
        timeout=20_000_000,
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    np.testing.assert_array_equal(result.as_numpy("y"), Y)
    about = result.get_response()
    assert (about["model_name"], about["model_version"], about["id"]) == ("scores", "1", "a request")


def test_all_outputs_come_in_binary_where_none_is_named(client: Any) -> None:
    result = client.infer("scores", [given("x", "FP32", X, binary=True)])
    assert result.get_output("y")["parameters"] == {"binary_data_size": Y.nbytes}
    np.testing.assert_array_equal(result.as_numpy("y"), Y)


@pytest.mark.parametrize("binary", [True, False])
def test_classes(client: Any, binary: bool) -> None:
    wanted = triton.InferRequestedOutput("y", binary_data=binary, class_count=2)
    result = client.infer("scores", [given("x", "FP32", X, binary=True)], outputs=[wanted]).as_numpy("y")
    told = [[element if isinstance(element, str) else element.decode() for element in row] for row in result]
    assert told == [["-0.25:3", "-0.75:4"], ["-0.25:999", "-1.25:998"], ["-0.25:0", "-0.75:1"]]


@pytest.mark.parametrize("binary", [True, False])
def test_texts(client: Any, binary: bool) -> None:
    words, times = np.array([b"h\xc3\xb6", b""], object), np.array([2, 3], np.int32)
    inputs = [given("words", "BYTES", words, binary=binary), given("times", "INT32", times, binary=True)]
    wanted = [triton.InferRequestedOutput("repeated", binary_data=binary)]
    (first, second) = client.infer("repeat", inputs, outputs=wanted).as_numpy("repeated")
    expected = ["höhö".encode(), b""] if binary else ["höhö", ""]
    assert [first, second] == expected


def test_half_precision_and_a_large_picture(client: Any) -> None:
    x = np.array([[1, -3]], np.float16)
    np.testing.assert_array_equal(
        client.infer("half", [given("x", "FP16", x, binary=True)]).as_numpy("y"), x / 2
    )
    picture = np.full((1, 224, 224, 3), 0.5, np.float32)
    result = client.infer("mean", [given("x", "FP32", picture, binary=True)])
    np.testing.assert_allclose(result.as_numpy("y"), [0.5])


def test_many_at_once(stack: Stack) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{stack.port}", concurrency=8) as crowd:
        asked = [
            crowd.async_infer("scores", [given("x", "FP32", np.array([[n]], np.float32), binary=True)])
            for n in range(40)
        ]
        best = [int(one.get_result().as_numpy("y").argmax()) for one in asked]
    assert best == list(range(40))


def test_the_asynchronous_client(stack: Stack) -> None:
    async def ask() -> Any:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{stack.port}") as asked:
            result = await asked.infer("scores", [given("x", "FP32", X, binary=True)])
            return result.as_numpy("y")

    np.testing.assert_array_equal(asyncio.run(ask()), Y)


def test_errors_are_the_clients_own(client: Any) -> None:
    wrong = given("x", "FP32", np.zeros((1, 2), np.float32), binary=True)
    for model, message, status in (
        ("scores", "inputs.x: expected shape", "400"),
        ("nobody", "no model 'nobody'", "404"),
    ):
        with pytest.raises(InferenceServerException) as caught:
            client.infer(model, [wrong])
        assert caught.value.status() == status
        assert message in caught.value.message()
    with pytest.raises(InferenceServerException) as caught:
        client.get_system_shared_memory_status()
    assert caught.value.status() == "501"


def test_statistics_count_what_was_answered(client: Any) -> None:
    def count() -> int:
        (stats,) = client.get_inference_statistics("half", "1")["model_stats"]
        return int(stats["inference_count"])

    before = count()
    x = np.zeros((3, 2), np.float16)
    client.infer("half", [given("x", "FP16", x, binary=True)])
    until(lambda: count() >= before + 3, 15, "the worker's next heartbeat")
    (stats,) = client.get_inference_statistics("half")["model_stats"]
    assert stats["inference_stats"]["success"]["count"] >= 1
    assert stats["inference_stats"]["compute_infer"]["ns"] > 0
    assert {one["name"] for one in client.get_inference_statistics()["model_stats"]} == set(_MODELS)


def test_the_repository(client: Any) -> None:
    states = {row["name"]: row["state"] for row in client.get_model_repository_index()}
    assert states == dict.fromkeys(_MODELS, "READY")
    client.unload_model("half")
    assert not client.is_model_ready("half")
    with pytest.raises(InferenceServerException):
        client.infer("half", [given("x", "FP16", np.zeros((1, 2), np.float16), binary=True)])
    client.load_model("half")
    assert client.is_model_ready("half")


def test_a_job_by_header(stack: Stack) -> None:
    body = {"id": "7", "inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [5]}]}
    headers = {"Prefer": "respond-async"}
    response = stack.http.post("/v2/models/scores/infer", json=body, headers=headers)
    assert response.status_code == 202
    at = response.headers["Location"]

    def done() -> httpx.Response | None:
        found = stack.http.get(at, headers={"Prefer": "wait=10"})
        return found if found.status_code == 200 else None

    answer = until(done)
    assert answer is not None
    assert (answer.json()["id"], int(np.argmax(answer.json()["outputs"][0]["data"]))) == ("7", 5)


def test_the_protocols_own_client(stack: Stack) -> None:
    address = f"http://127.0.0.1:{stack.port}"
    with httpx.Client(trust_env=False, timeout=40) as http:
        own = OpenInferenceClient(base_url=address, httpx_client=http)
        own.check_server_liveness()
        own.check_server_readiness()
        own.check_model_readiness("scores")
        own.check_model_version_readiness("scores", "1")
        assert own.read_server_metadata().name == "predict-worker"
        assert own.read_model_metadata("scores").versions == ["1"]
        tensor = {"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [[5.0], [6.0]]}
        asked = InferenceRequest.parse_obj({"id": "8", "inputs": [tensor]})
        answer = own.model_infer("scores", request=asked)
        assert (answer.id, answer.outputs[0].shape) == ("8", [2, 1000])
        with pytest.raises(NotFoundError):
            own.check_model_readiness("nobody")
