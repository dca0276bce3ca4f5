"""The binary tensor extension, both ways; and requests that nobody meant."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
from django.test import Client
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from api.oip.binary import divided
from api.oip.parse import inputs
from predict_worker.codec import string_bytes, unpack
from predict_worker.core.spec import TensorSpec
from tests.unit.api.oip import (
    BINARY,
    INFER,
    ROW,
    SIZES,
    X,
    answered,
    echo,
    infer,
    joined,
    post,
    refused,
    split,
    tensor,
)
from tests.unit.world import World

ALL_BINARY = {"binary_data_output": True}
HALVES = np.array([0x3F80, 0xC000, 0x7F80], "<u2")  # 1, -2 and infinity in bfloat16


def sized(name: str, datatype: str, shape: list[int], size: int) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}}


def test_a_digit_in_and_out(client: Client, world: World) -> None:
    response = answered(client, world, {"inputs": [BINARY], "parameters": ALL_BINARY}, ROW.tobytes())
    assert (response.status_code, response["Content-Type"]) == (200, "application/octet-stream")
    head, tail = split(response)
    assert head["outputs"] == [
        {
            "name": "probabilities",
            "datatype": "FP32",
            "shape": [1, 10],
            "parameters": {"binary_data_size": 40},
        }
    ]
    assert np.frombuffer(tail, "<f4").tolist() == [np.float32(0.1)] * 10
    assert response["Content-Length"] == str(len(response.content))


def test_the_worker_gets_what_was_sent(client: Client, world: World) -> None:
    infer(client, {"inputs": [BINARY]}, ROW.tobytes(), prefer="respond-async")
    (entry,) = world.claim()
    assert entry.payload is not None
    np.testing.assert_array_equal(unpack(entry.payload)["x"], ROW)


@pytest.mark.parametrize(
    ("datatype", "array"),
    [
        ("BOOL", np.array([True, False, True])),
        ("UINT16", np.array([0, 1, 65535], "<u2")),
        ("INT64", np.array([-(2**63), 2**63 - 1], "<i8")),
        ("FP16", np.array([0.5, np.nan, -np.inf], "<f2")),
        ("FP32", np.array([0.1, 1e-30], "<f4")),
        ("FP64", np.array([0.1, 1e300], "<f8")),
        ("BYTES", np.array([b"", b"\xff\x00", b"text"], object)),
    ],
)
def test_every_datatype_comes_and_goes(client: Client, world: World, datatype: str, array: Any) -> None:
    dtype = "string" if datatype == "BYTES" else array.dtype.name
    echo(world, TensorSpec("x", dtype, (-1,)))
    raw = string_bytes(array) if datatype == "BYTES" else array.tobytes()
    fields = {"inputs": [sized("x", datatype, [len(array)], len(raw))], "parameters": ALL_BINARY}
    head, tail = split(answered(client, world, fields, raw, model="echo"))
    assert tail == raw
    assert head["outputs"] == [sized("x_out", datatype, [len(array)], len(raw))]


def test_bfloat16_comes_in_as_the_float32_that_it_is(client: Client, world: World) -> None:
    echo(world, TensorSpec("x", "float32", (-1,)))
    fields = {"inputs": [sized("x", "BF16", [3], 6)]}
    response = answered(client, world, fields, HALVES.tobytes(), model="echo")
    assert response.json()["outputs"][0]["data"] == [1, -2, "Infinity"]


def test_json_and_binary_side_by_side(client: Client, world: World) -> None:
    b = np.array([10, 100], "<i8").tobytes()
    a = {"name": "a", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}
    outputs = [{"name": "sum", "parameters": {"binary_data": True}}, {"name": "product"}]
    fields = {"inputs": [sized("b", "INT64", [2], 16), a], "outputs": outputs}
    head, tail = split(answered(client, world, fields, b, model="pair"))
    assert np.frombuffer(tail, "<f4").tolist() == [11, 12, 103, 104]
    assert [output.get("data") for output in head["outputs"]] == [None, [10, 20, 300, 400]]


def test_an_outputs_own_word_counts_more_than_the_requests(client: Client, world: World) -> None:
    outputs = [{"name": "probabilities", "parameters": {"binary_data": False}}]
    response = answered(client, world, {"inputs": [X], "outputs": outputs, "parameters": ALL_BINARY})
    assert response.json()["outputs"][0]["data"] == [0.1] * 10


def test_classes_in_binary(client: Client, world: World) -> None:
    form = {"classification": 2, "binary_data": True}
    fields = {"inputs": [X], "outputs": [{"name": "probabilities", "parameters": form}]}
    _, tail = split(answered(client, world, fields))
    assert tail == string_bytes(np.array([b"0.1:0", b"0.1:1"], object))


def test_a_body_without_json_is_the_only_input_in_one_row(client: Client, world: World) -> None:
    with world.working():
        response = post(client, ROW.tobytes(), inference_header_content_length="0")
    head, tail = split(response)
    assert (head["outputs"][0]["shape"], len(tail)) == ([1, 10], 40)


def test_its_size_says_what_one_open_dimension_is(client: Client, world: World) -> None:
    echo(world, TensorSpec("x", "float32", (-1, 2, -1)))
    with world.working("echo"):
        at = "/v2/models/echo/infer"
        response = post(client, ROW.tobytes(), at, inference_header_content_length="0")
    assert split(response)[0]["outputs"][0]["shape"] == [1, 2, 32]


@pytest.mark.parametrize("model", ["pair", "open", "texts"])
def test_a_body_without_json_that_says_too_little_is_refused(
    client: Client, world: World, model: str
) -> None:
    if model != "pair":
        of = (
            TensorSpec("x", "string", (-1,)) if model == "texts" else TensorSpec("x", "float32", (-1, -1, -1))
        )
        echo(world, of)
    at = f"/v2/models/{'pair' if model == 'pair' else 'echo'}/infer"
    response = post(client, ROW.tobytes(), at, inference_header_content_length="0")
    refused(response, 400, "Inference-Header-Content-Length")
    fresh = post(client, ROW.tobytes(), "/v2/models/fresh/infer", inference_header_content_length="0")
    refused(fresh, 503, "no worker has loaded version 3")


@pytest.mark.parametrize("dtype", ["float16", "complex64"])
def test_an_output_that_json_cannot_hold_is_refused_before_it_runs(
    client: Client, world: World, dtype: str
) -> None:
    echo(world, TensorSpec("x", dtype, (-1,)))
    status, part = (400, "outputs.x_out.parameters.binary_data") if dtype == "float16" else (501, "complex64")
    refused(infer(client, {"inputs": [X]}, at="/v2/models/echo/infer"), status, part)
    assert "submit" not in world.store.calls


def test_bytes_that_are_no_text_want_the_binary_form(client: Client, world: World) -> None:
    echo(world, TensorSpec("x", "string", (-1,)))
    fields = {"inputs": [sized("x", "BYTES", [1], 5)]}
    response = answered(client, world, fields, b"\1\0\0\0\xff", model="echo")
    refused(response, 400, "outputs.x_out.parameters.binary_data", "UTF-8")


@pytest.mark.parametrize(
    ("fields", "tail", "length", "parts"),
    [
        ({"inputs": [BINARY]}, b"", None, ("Inference-Header-Content-Length", "no header")),
        ({"inputs": [BINARY]}, ROW.tobytes()[:-1], "", ("inputs[0].parameters.binary_data_size", "255")),
        ({"inputs": [BINARY]}, ROW.tobytes() + b"!", "", ("body", "1 more")),
        ({"inputs": [X]}, b"!", "", ("body", "1 more")),
        ({"inputs": [BINARY]}, ROW.tobytes(), "99999", ("Inference-Header-Content-Length", "'99999'")),
        ({"inputs": [BINARY]}, ROW.tobytes(), "-1", ("Inference-Header-Content-Length",)),
        ({"inputs": [BINARY]}, ROW.tobytes(), "7", ("body", "JSON")),
        ({"inputs": [tensor(**SIZES)]}, ROW.tobytes(), "", ("inputs[0].data", "both")),
        ({"inputs": [{**BINARY, "shape": [2, 8, 8, 1]}]}, ROW.tobytes(), "", ("512 bytes", "256")),
        ({"inputs": [{**BINARY, "parameters": {"binary_data_size": -4}}]}, b"", "", ("a number of bytes",)),
        ({"inputs": [{**BINARY, "parameters": {"binary_data_size": True}}]}, b"", "", ("a number of bytes",)),
        ({"inputs": [sized("x", "BOOL", [2], 2)]}, b"\1\2", "", ("inputs[0]", "0 or 1")),
        ({"inputs": [sized("x", "BYTES", [2], 5)]}, b"\1\0\0\0a", "", ("inputs[0]", "2 elements")),
        ({"inputs": [sized("x", "BYTES", [1], 5)]}, b"\xff\xff\xff\xffa", "", ("inputs[0]", "ends within")),
        ({"inputs": [sized("x", "BYTES", [1], 2)]}, b"\1\0", "", ("inputs[0]", "ends within")),
    ],
)
def test_what_is_wrong_is_named(
    client: Client, world: World, fields: Any, tail: bytes, length: str | None, parts: tuple[str, ...]
) -> None:
    body, true_length = joined(fields, tail)
    headers = {} if length is None else {"inference_header_content_length": length or true_length}
    refused(post(client, body, **headers), 400, *parts)
    assert "submit" not in world.store.calls


def test_a_binary_tensor_is_a_view_of_the_body() -> None:
    raw = np.zeros((1, 224, 224, 3), np.float32).tobytes()
    body, length = joined({"inputs": [sized("x", "FP32", [1, 224, 224, 3], len(raw))]}, raw)
    head, tail = divided(body, length)
    array: Any = inputs(json.loads(head), tail).arrays["x"]
    assert array.base is body
    assert (array.shape, array.dtype) == ((1, 224, 224, 3), np.float32)


# ---------------------------------------------------------------- anything at all

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
ANYTHING = st.recursive(
    LEAVES,
    lambda of: st.lists(of, max_size=4) | st.dictionaries(st.text(max_size=5), of, max_size=3),
    max_leaves=12,
)
PARAMETERS = st.dictionaries(
    st.sampled_from(
        ["binary_data_size", "binary_data", "classification", "priority", "timeout", "sequence_id"]
    ),
    LEAVES | st.integers(0, 300),
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("x") | ANYTHING,
        "shape": st.just([1, 8, 8, 1]) | st.lists(st.integers(-1, 9), max_size=5) | ANYTHING,
        "datatype": st.sampled_from(["FP32", "BYTES", "BOOL", "FP16", "BF16", "INT8"]) | ANYTHING,
        "parameters": PARAMETERS | ANYTHING,
        "data": ANYTHING,
    },
)
REQUEST = st.fixed_dictionaries(
    {"inputs": st.lists(TENSOR, max_size=2) | ANYTHING},
    optional={
        "id": ANYTHING,
        "parameters": PARAMETERS | ANYTHING,
        "outputs": st.lists(TENSOR, max_size=2) | ANYTHING,
    },
)
BODIES = st.binary(max_size=60) | REQUEST.map(lambda fields: json.dumps(fields).encode())
LENGTHS = st.none() | st.integers(-1, 400).map(str) | st.text("0123456789 +-.x٣", max_size=14)


@given(body=BODIES, tail=st.binary(max_size=300), length=LENGTHS, true=st.booleans())
@example(body=b"", tail=b"", length=None, true=False)
@example(body=json.dumps({"inputs": [BINARY]}).encode(), tail=ROW.tobytes()[1:], length=None, true=True)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_is_answered_with_a_reason(
    client: Client, world: World, body: bytes, tail: bytes, length: str | None, true: bool
) -> None:
    length = str(len(body)) if true else length
    headers = {} if length is None else {"inference_header_content_length": length}
    response = post(client, body + tail, INFER, prefer="respond-async", **headers)
    if response.status_code != 202:
        assert 400 <= response.status_code < 500, response.content
        assert response.json() == {"error": ANY}


@given(body=st.binary(max_size=40) | ANYTHING.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_to_the_repository_too(client: Client, body: bytes) -> None:
    for path in ("/v2/repository/index", "/v2/repository/models/digits/load"):
        response = client.post(path, body, content_type="application/json")
        if response.status_code != 200:
            assert 400 <= response.status_code < 500, response.content
            assert response.json() == {"error": ANY}
