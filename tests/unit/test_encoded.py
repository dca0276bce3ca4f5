"""Inputs that take files or texts instead of their tensors."""

import base64
from typing import Any

import numpy as np
import pytest

from predict_worker.core.errors import InvalidRequest
from predict_worker.core.spec import ModelSpec, Signature, TensorSpec
from predict_worker.encoded import image_type
from predict_worker.inputs import Arrays, Columnar, Instances, bind, split

Y = TensorSpec("y", "float32", (-1, 10))
PNG = b"\x89PNG\r\n\x1a\n..."
JPEG = b"\xff\xd8\xff\xe0..."
WEBP = b"RIFF....WEBP..."


def one(dtype: str, shape: tuple[int, ...], encoded: str) -> Signature:
    return Signature("serving_default", (TensorSpec("x", dtype, shape, encoded),), (Y,))


IMAGES = one("float32", (-1, 2, 2, 1), "image")
IDS = one("int32", (-1, 3), "text")
B64 = {"b64": base64.b64encode(PNG).decode()}


def bound(sig: Signature, raw: Any, **options: Any) -> Any:
    return bind(sig, raw, **{"max_bytes": 10_000, **options})


def refusal(sig: Signature, raw: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        bound(sig, raw)
    return refused.value


@pytest.mark.parametrize(
    "raw",
    [
        Columnar([B64]),
        Columnar({"x": [B64]}),
        Instances([B64]),
        Instances([{"x": B64}]),
        Arrays({"": np.array([PNG], object)}),
        Arrays({"x": np.array([PNG], object)}),
    ],
)
def test_images_come_as_bytes_one_a_row(raw):
    result = bound(IMAGES, raw, inputs_finite=True)
    assert result.rows == 1
    assert result.arrays["x"].tolist() == [PNG]


def test_an_input_that_takes_images_takes_its_tensor_too():
    tensor = np.ones((2, 2, 2, 1), np.float32)
    for raw in (Columnar(tensor.tolist()), Instances(tensor.tolist()), Arrays({"x": tensor})):
        assert bound(IMAGES, raw).arrays["x"].dtype == np.float32


def test_texts_come_as_strings_or_as_ids():
    assert bound(IDS, Columnar(["a b", "c"])).arrays["x"].tolist() == [b"a b", b"c"]
    assert bound(IDS, Columnar([[1, 2, 3]])).arrays["x"].dtype == np.int32
    assert bound(IDS, Arrays({"x": np.array(["a b"])})).arrays["x"].tolist() == [b"a b"]
    assert refusal(IDS, Columnar(["a", 1])).field == "inputs[1]"
    assert str(refusal(IDS, Arrays({"": np.array([b"a", PNG], object)}))) == (
        f"inputs[1]: expected a text in UTF-8, got 11 bytes that begin with {PNG!r}"
    )


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (Columnar([B64, {"b64": "R0lGODlh"}]), "inputs[1]: expected a PNG, JPEG or WebP image, got 6 bytes"),
        (
            Columnar(["iVBORw0KGgo="]),
            "inputs[0]: expected a PNG, JPEG or WebP image, got 12 bytes that",
        ),
        (Columnar([{"b64": ""}]), "inputs[0]: expected a PNG, JPEG or WebP image, got an empty file"),
        (Columnar([{"b65": ""}]), 'inputs[0]: expected a string or {"b64": "..."}'),
        (Columnar({"b64": "R0lGODlh"}), "inputs: expected a list"),
        (Columnar([B64, [[1]]]), "inputs[1]: expected a string or"),
        (Columnar([]), "inputs: expected at least one row"),
        (Instances([{"x": {"b64": "R0lG"}}]), "instances[0].x: expected a PNG, JPEG or WebP image"),
        (Arrays({"x": np.array([JPEG, b"BM"], object)}), "inputs.x[1]: expected a PNG, JPEG or WebP image"),
        (Arrays({"": np.array([[WEBP]], object)}), "inputs: expected shape [-1], got shape [1, 1]"),
        (Arrays({"": np.array([PNG * 2000], object)}), "inputs: expected at most 10000 bytes"),
    ],
)
def test_what_is_no_image_is_refused_by_its_first_bytes(raw, message):
    assert str(refusal(IMAGES, raw)).startswith(message)


@pytest.mark.parametrize(
    ("shape", "dtype", "parts"),
    [((-1, 4, 4, 1), "float32", 2), ((-1, 8, 8, 1), "uint8", 2), ((-1, -1, 8, 1), "float32", 1)],
)
def test_rows_are_counted_as_the_tensors_they_will_be(shape, dtype, parts):
    rows = {"x": np.array([b"tiny"] * 4, object)}
    assert len(split(one(dtype, shape, "image"), rows, 64, 128)) == parts


@pytest.mark.parametrize(
    ("data", "kind"),
    [(PNG, "png"), (JPEG, "jpeg"), (WEBP, "webp"), (b"RIFF....WAVE", None), (PNG[:7], None), (b"", None)],
)
def test_an_image_is_known_by_its_first_bytes(data, kind):
    assert image_type(data) == kind


def test_a_spec_keeps_it_on_its_way_through_the_catalogue():
    spec = ModelSpec("m", 1, "onnx", "sha256:1", {"serving_default": IMAGES})
    assert ModelSpec.from_dict(spec.to_dict()) == spec
    before = spec.to_dict()
    del before["signatures"][0]["inputs"][0]["encoded"]  # as an older worker has written it
    assert ModelSpec.from_dict(before).signatures["serving_default"].inputs[0].encoded == ""
