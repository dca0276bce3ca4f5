"""Words the Open Inference Protocol's tests are written in."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from django.test import Client

from predict_worker.codec import unpack
from predict_worker.core.job import JobError
from predict_worker.core.ports import ModelEntry
from predict_worker.core.spec import Signature, TensorSpec
from tests.unit.world import World, spec, worker

INFER = "/v2/models/digits/infer"
ROW = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
X: dict[str, Any] = {"name": "x", "shape": [1, 8, 8, 1], "datatype": "FP32", "data": ROW.reshape(-1).tolist()}
SIZES = {"parameters": {"binary_data_size": ROW.nbytes}}
BINARY = {name: value for name, value in X.items() if name != "data"} | SIZES


def tensor(**fields: Any) -> dict[str, Any]:
    """The input ``x`` of the digits; a field of None is left out."""
    return {name: value for name, value in {**X, **fields}.items() if value is not None}


def joined(fields: Any, *tails: bytes) -> tuple[bytes, str]:
    """A body with binary tensors, and the length of its JSON."""
    head = json.dumps(fields).encode()
    return b"".join([head, *tails]), str(len(head))


def infer(client: Client, fields: Any = None, *tails: bytes, at: str = INFER, **headers: str) -> Any:
    """Header names with underscores; ``fields`` None asks for one digit."""
    fields = {"inputs": [X]} if fields is None else fields
    body, length = joined(fields, *tails)
    if tails:
        headers = {"inference_header_content_length": length, **headers}
    return post(client, body if tails or not isinstance(fields, bytes) else fields, at, **headers)


def post(client: Client, body: bytes, at: str = INFER, **headers: str) -> Any:
    spelled = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(at, body, content_type="application/octet-stream", headers=spelled)


def answered(
    client: Client,
    world: World,
    *args: Any,
    model: str = "digits",
    error: JobError | None = None,
    **more: Any,
) -> Any:
    """The response to :func:`infer` while a worker answers."""
    with world.working(model, error):
        return infer(client, *args, at=f"/v2/models/{model}/infer", **more)


def refused(response: Any, status: int, *parts: str) -> str:
    """The message, after checking all that every error has."""
    assert response["Content-Type"] == "application/json", response.content
    body = json.loads(response.content)
    assert response.status_code == status, body
    assert list(body) == ["error"]
    assert body["error"]
    assert response["X-Request-ID"]
    for part in parts:
        assert part in body["error"], body
    return str(body["error"])


def split(response: Any) -> tuple[dict[str, Any], bytes]:
    """A binary response's JSON, and what follows it."""
    at = int(response["Inference-Header-Content-Length"])
    return json.loads(response.content[:at]), response.content[at:]


def echo(world: World, *inputs: TensorSpec) -> None:
    """A model ``echo`` that gives back what it gets."""
    outputs = tuple(TensorSpec(f"{given.name}_out", given.dtype, given.shape) for given in inputs)
    signature = Signature("serving_default", tuple(inputs), outputs)
    world.catalogue_store.publish_models([ModelEntry("echo", (7,))])
    world.catalogue_store.publish_specs([spec("echo", 7, signature)])
    world.catalogue_store.beat(worker(("echo", 7), consumer="n2:1"), ttl_s=60)

    def answer(model: str, entry: Any) -> dict[str, Any]:
        return {f"{name}_out": array for name, array in unpack(entry.payload).items()}

    changed: Any = world
    changed.answer = answer
