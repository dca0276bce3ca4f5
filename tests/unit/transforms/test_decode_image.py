"""The input that also takes images: its layout, its scale, its refusals at load."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from predict_worker.core.errors import InvalidRequest, ModelLoadError
from predict_worker.core.spec import Signature, TensorSpec
from predict_worker.transforms import Options, Transform
from predict_worker.transforms.decode_image import decode_image
from tests.pictures import BROKEN, encoded, plain

Y = TensorSpec("y", "float32", (-1, 10))


def made(shape: Any, dtype: str = "float32", /, **options: Any) -> Transform:
    x = TensorSpec("x", dtype, shape)
    return decode_image(Signature("serving_default", (x,), (Y,)), Options(options))


def decoded(transform: Transform, *files: bytes) -> Any:
    array = transform.convert({"x": np.array(files, object)})["x"]
    return np.asarray(array)


def test_the_input_takes_images_besides_what_it_took() -> None:
    b = TensorSpec("b", "int32", (-1,))
    x = TensorSpec("x", "float32", (-1, 4, 4, 1))
    transform = decode_image(Signature("serving_default", (x, b), (Y,)), Options({"input": "x"}))
    assert transform.specs == (replace(x, encoded="image"), b)
    native = {"x": np.ones((2, 4, 4, 1), np.float32), "b": np.array([1, 2])}
    assert transform.convert(native) == native
    mixed = transform.convert({**native, "x": np.array([plain(0), plain(255)], object)})
    assert mixed["x"][:, 0, 0, 0].tolist() == [0, 1]
    assert mixed["b"] is native["b"]


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((-1, 4, 6, 3), {}, (2, 4, 6, 3)),
        ((-1, 4, 6, 1), {}, (2, 4, 6, 1)),
        ((-1, 4, 6, 4), {}, (2, 4, 6, 4)),
        ((-1, 3, 4, 6), {}, (2, 3, 4, 6)),
        ((-1, 1, 28, 28), {}, (2, 1, 28, 28)),
        ((-1, 4, 6), {}, (2, 4, 6)),
        ((2, 4, 6, 3), {}, (2, 4, 6, 3)),
        ((-1, -1, -1, 3), {"height": 4, "width": 6}, (2, 4, 6, 3)),
        ((-1, 3, -1, -1), {"height": 4, "width": 6}, (2, 3, 4, 6)),
        ((-1, -1, -1, -1), {"height": 4, "width": 6, "channels": 3}, (2, 4, 6, 3)),
        ((-1, 3, 3, 3), {}, (2, 3, 3, 3)),
    ],
)
def test_rows_have_the_layout_of_the_model(shape: Any, options: Any, expected: Any) -> None:
    image = Image.new("RGB", (6, 4), (255, 0, 0))
    array = decoded(made(shape, **options), encoded(image), plain(0))
    assert array.shape == expected
    assert array.dtype == np.float32
    if 3 in expected and expected != (2, 3, 3, 3):
        axis = expected.index(3)
        assert np.moveaxis(array, axis, -1)[0, 0, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("dtype", "scale", "levels"),
    [
        ("float32", None, [0, 0.2, 1]),
        ("float32", "0..1", [0, 0.2, 1]),
        ("float32", "-1..1", [-1, -0.6, 1]),
        ("float32", "0..16", [0, 3.2, 16]),
        ("float32", "0.5..2.5", [0.5, 0.9, 2.5]),
        ("float16", "0..1", [0, 0.2, 1]),
        ("float64", "0..255", [0, 51, 255]),
        ("uint8", None, [0, 51, 255]),
        ("int8", "-128..127", [-128, -77, 127]),
        ("int32", "0..16", [0, 3, 16]),
    ],
)
def test_black_and_white_become_the_ends_of_the_scale(dtype: str, scale: Any, levels: Any) -> None:
    options = {"scale": scale} if scale else {}
    array = decoded(made((-1, 1, 1, 1), dtype, **options), plain(0), plain(51), plain(255))
    assert array.dtype == np.dtype(dtype)
    np.testing.assert_allclose(array.reshape(-1), levels, rtol=1e-3)
    assert (array[0], array[2]) == (levels[0], levels[2]), "the ends are exact"


def test_a_bad_row_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"inputs\.x\[1\]: expected a whole PNG"):
        decoded(made((-1, 4, 4, 1)), plain(), BROKEN["truncated"])


@pytest.mark.parametrize(
    ("shape", "dtype", "options", "says"),
    [
        ((-1, 8, 8, 2), "float32", {}, "1, 3 or 4 channels"),
        ((-1, 64), "float32", {}, "image: x of shape [-1, 64]"),
        (None, "float32", {}, "image: x of shape []"),
        ((-1, -1, -1, 3), "float32", {"height": 4}, "with height 4 in model.toml"),
        ((-1, 8, 8, 1), "float32", {"height": 9}, "with height 9"),
        ((-1, 8, 8, 1), "float32", {"channels": 3}, "with channels 3"),
        ((-1, 8, 8), "float32", {"channels": 3}, "with channels 3"),
        ((-1, 8, 8, 1), "string", {}, "image.input: expected numbers, got string"),
        ((-1, 8, 8, 1), "bool", {}, "image.input: expected numbers, got bool"),
        ((-1, 8, 8, 1), "uint8", {"scale": "-1..1"}, "image.scale: expected what uint8 can hold, got -1..1"),
        ((-1, 8, 8, 1), "float32", {"input": "z"}, "image.input: expected one of x, got 'z'"),
    ],
)
def test_a_model_that_cannot_take_images_so_is_refused_at_load(
    shape: Any, dtype: str, options: Any, says: str
) -> None:
    with pytest.raises(ModelLoadError) as refused:
        made(shape, dtype, **options)
    assert says in refused.value.detail


def test_of_several_inputs_one_must_be_named() -> None:
    pair = TensorSpec("a", "float32", (-1, 4, 4, 1)), TensorSpec("b", "float32", (-1, 4, 4, 1))
    with pytest.raises(ModelLoadError, match=r"image\.input: expected one of a, b, got nothing"):
        decode_image(Signature("serving_default", pair, (Y,)), Options())
