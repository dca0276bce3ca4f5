"""TensorFlow Serving's REST API is never broken by what it is sent."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from predict_worker.codec import unpack
from tests.unit.world import World

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=5)  # lone surrogates, too
    | st.sampled_from(["serving_default", "YQ=="])
)
NAMES = st.sampled_from(["x", "y", "a", "b", "b64", "text"]) | st.text(st.characters(exclude_categories=()))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
FIELDS = ("instances", "inputs", "signature_name", "examples", "context")
BODIES = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, VALUES)) | VALUES
PATHS = st.sampled_from(
    ["half:predict", "pair:predict", "texts:predict", "fresh:predict", "half:classify", "fresh:regress"]
)
BOUNDED = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def check(client: Client, world: World, at: str, raw: bytes) -> None:
    response = client.post(
        f"/v1/models/{at}", raw, content_type="application/json", headers={"Prefer": "respond-async"}
    )
    assert response.status_code in (202, 400), (raw, response.content)
    told: dict[str, Any] = json.loads(response.content)
    if response.status_code == 400:
        assert list(told) == ["error"]
        assert isinstance(told["error"], str)
        return
    model = at.partition(":")[0]
    if model != "fresh":  # what was accepted fits the signature, and is answered
        assert world.run(model) >= 1
        assert client.get(response["Location"]).status_code in (200, 400)


@BOUNDED
@given(at=PATHS, body=BODIES)
def test_any_json_is_answered_or_refused(client: Client, half: World, at: str, body: Any) -> None:
    check(client, half, at, json.dumps(body).encode())


@BOUNDED
@given(raw=st.binary(max_size=60))
def test_any_bytes_are_answered_or_refused(client: Client, half: World, raw: bytes) -> None:
    check(client, half, "half:predict", raw)


ROWS = st.lists(st.floats(width=32), min_size=1, max_size=5)


@BOUNDED
@given(rows=ROWS, key=st.sampled_from(["instances", "inputs"]), wide=st.booleans(), named=st.booleans())
def test_every_number_comes_back_as_it_was(
    client: Client,
    half: World,
    rows: list[float],
    key: str,
    wide: bool,
    named: bool,
) -> None:
    """Through a model that answers with what it was sent."""
    half.answer = _echo  # type: ignore[method-assign]
    values: Any = [[row] for row in rows] if wide else rows
    asked = values
    if named:
        asked = {"x": values} if key == "inputs" else [{"x": value} for value in values]
    raw = json.dumps({key: asked}).encode()
    response = client.post(
        "/v1/models/half:predict", raw, content_type="text/plain", headers={"Prefer": "respond-async"}
    )
    half.run("half")
    found = json.loads(client.get(response["Location"]).content)
    assert repr(found) == repr({"outputs" if key == "inputs" else "predictions": _as_float32(values)})


def _echo(model: str, entry: Any) -> dict[str, Any]:
    return {"y": unpack(entry.payload)["x"]}


def _as_float32(value: Any) -> Any:
    """The shortest spelling of each."""
    if isinstance(value, list):
        return [_as_float32(one) for one in value]
    return float(str(np.float32(value)))


@pytest.mark.parametrize("depth", [30, 300, 900, 990])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"x":', "}")])
@pytest.mark.parametrize("leaf", ["1", "NaN"])
def test_deep_nesting_is_refused(
    client: Client,
    half: World,
    depth: int,
    opening: str,
    closing: str,
    leaf: str,
) -> None:
    deep = opening * depth + leaf + closing * depth
    if len(deep) < 4000:
        for key in ("instances", "inputs", "signature_name"):
            check(client, half, "half:predict", f'{{"{key}": {deep}}}'.encode())
