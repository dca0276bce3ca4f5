"""What the tests of TensorFlow Serving's REST API are written in, and the models that they ask."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from predict_worker.codec import unpack
from predict_worker.core.ports import ModelEntry
from predict_worker.core.spec import Signature, TensorSpec
from tests.unit.api.asking import spelled
from tests.unit.world import World, spec, worker

HALF = Signature(
    "serving_default",
    (TensorSpec("x", "float32", (-1, 1), graph_name="x:0"),),
    (TensorSpec("y", "float32", (-1, 1), graph_name="y:0"),),
)
TEXTS = Signature(
    "serving_default",
    (TensorSpec("text", "string", (-1,)),),
    (TensorSpec("label", "string", (-1,)), TensorSpec("raw_bytes", "string", (-1,))),
)


def ask(client: Client, at: str, data: Any, **headers: str) -> Any:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    kind = headers.pop("content_type", "application/json")
    return client.post(f"/v1/models/{at}", raw, content_type=kind, headers=spelled(headers))


def refused(response: Any, status: int, text: str) -> None:
    """Nothing but the error, whose text holds this."""
    told = json.loads(response.content)
    assert (response.status_code, list(told)) == (status, ["error"]), response.content
    assert text in told["error"]
    assert response["Content-Type"] == "application/json"


def add_models(world: World) -> World:
    """To that world also ``half``, y = x / 2 + 2 in two versions, one with a label, and one of texts."""
    world.catalogue_store.publish_models(
        [ModelEntry("half", (1, 2), (("stable", 1),)), ModelEntry("texts", (1,))]
    )
    world.catalogue_store.publish_specs(
        [spec("half", version, HALF) for version in (1, 2)] + [spec("texts", 1, TEXTS)]
    )
    held = (("digits", 1), ("pair", 1), ("half", 1), ("half", 2), ("texts", 1))
    world.catalogue_store.beat(worker(*held), ttl_s=60)

    def answer(model: str, entry: Any) -> dict[str, Any]:
        inputs = unpack(entry.payload)
        if model == "texts":
            return {"label": inputs["text"], "raw_bytes": inputs["text"]}
        return {"y": inputs["x"] / 2 + 2} if model == "half" else World.answer(model, entry)

    world.answer = answer  # type: ignore[method-assign]
    return world
