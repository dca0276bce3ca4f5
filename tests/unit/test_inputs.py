"""Callers' inputs against signatures."""

import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from predict_worker.codec import dumps, pack, to_json
from predict_worker.core.errors import InvalidRequest, PayloadTooLarge
from predict_worker.core.spec import Signature, TensorSpec
from predict_worker.inputs import Arrays, Columnar, Instances, bind, check_outputs, split

Y = TensorSpec("y", "float32", (-1, 10))


def signature(*inputs: TensorSpec) -> Signature:
    return Signature("serving_default", inputs, (Y,))


def one(dtype: str = "float32", shape: tuple[int, ...] | None = (-1, 2)) -> Signature:
    return signature(TensorSpec("x", dtype, shape))


TWO = signature(TensorSpec("a", "float32", (-1, 2)), TensorSpec("b", "int32", (-1,)))
TEXTS = one("string", (-1,))


def bound(sig: Signature, raw: Any, **options: Any) -> Any:
    return bind(sig, raw, **{"max_bytes": 10_000, **options})


def refusal(sig: Signature, raw: Any, **options: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        bound(sig, raw, **options)
    return refused.value


def test_the_only_input_needs_no_name():
    for raw in (
        Columnar([[1, 2.5]]),
        Columnar({"x": [[1, 2.5]]}),
        Instances([[1, 2.5]]),
        Instances([{"x": [1, 2.5]}]),
    ):
        result = bound(one(), raw)
        assert result.rows == 1
        assert result.arrays["x"].tolist() == [[1, 2.5]]
        assert result.arrays["x"].dtype == np.float32


def test_rows_of_objects_become_columns():
    result = bound(TWO, Instances([{"a": [1, 2], "b": 3}, {"b": 6, "a": [4, 5]}]))
    assert result.rows == 2
    assert result.arrays["a"].tolist() == [[1, 2], [4, 5]]
    assert result.arrays["b"].tolist() == [3, 6]


@pytest.mark.parametrize(
    ("sig", "raw", "message"),
    [
        (one(), Columnar([[1, 2], [3]]), "inputs[1]: expected a list of 2, got a list of 1"),
        (
            one(shape=(-1, 4, 8)),
            Columnar({"x": [[[0] * 8] * 3 + [[0] * 7]]}),
            "inputs.x[0][3]: expected a list of 8, got a list of 7",
        ),
        (one(shape=(-1, -1)), Columnar([[1, 2], [3]]), "inputs[1]: expected a list of 2, got a list of 1"),
        (one(), Columnar([1, 2]), "inputs[0]: expected a list of 2, got 1"),
        (one(), Columnar([[1, [2]]]), "inputs[0][1]: expected a number (float32), got a list of 1"),
        (one(), Columnar(None), "inputs: expected a list, got null"),
        (one(shape=None), Columnar([[1], 2]), "inputs[1]: expected a list of 1, got 2"),
        (one(shape=None), Columnar([1, [2]]), "inputs[0]: expected a list, got 1"),
        (one(), Columnar([]), "inputs: expected at least one row, got none"),
        (one(), Columnar([[1, None]]), "inputs[0][1]: expected a number (float32), got null"),
        (one(), Columnar([[1, True]]), "inputs[0][1]: expected a number (float32), got true"),
        (one(), Columnar([[1, "2"]]), "inputs[0][1]: expected a number (float32), got '2'"),
        (one(), Columnar([[1, "nan"]]), "inputs[0][1]: expected a number (float32), got 'nan'"),
        (one(), Columnar([[1, 1e39]]), "inputs[0][1]: expected a number that float32 can hold, got 1e+39"),
        (
            one("float16"),
            Columnar([[1, 70000]]),
            "inputs[0][1]: expected a number that float16 can hold, got 70000",
        ),
        (
            one("float64"),
            Columnar([[1, 10**309]]),
            "inputs[0][1]: expected a number that float64 can hold, got 1000",
        ),
        (one("int32"), Columnar([[1, 1.5]]), "inputs[0][1]: expected an integer (int32), got 1.5"),
        (one("int32"), Columnar([[1, "NaN"]]), "inputs[0][1]: expected an integer (int32), got 'NaN'"),
        (one("int8"), Columnar([[1, 128]]), "inputs[0][1]: expected an integer that int8 can hold, got 128"),
        (
            one("uint64"),
            Columnar([[-1, 0]]),
            "inputs[0][0]: expected an integer that uint64 can hold, got -1",
        ),
        (
            one("uint64"),
            Columnar([[1, 2**64]]),
            "inputs[0][1]: expected an integer that uint64 can hold, got 1844",
        ),
        (one("bool"), Columnar([[True, 1]]), "inputs[0][1]: expected true or false (bool), got 1"),
        (
            one("complex64"),
            Columnar([[1, 1]]),
            "inputs[0][0]: expected a .npy body: JSON has no complex numbers",
        ),
        (TEXTS, Columnar(["a", 1]), 'inputs[1]: expected a string or {"b64": "..."}, got 1'),
        (TEXTS, Columnar([{"b64": "*"}]), "inputs[0]: expected a string or"),
        (TEXTS, Columnar([{"b64": 1}]), "inputs[0]: expected a string or"),
        (TEXTS, Columnar(["\ud800"]), "inputs[0]: expected a string or"),
        (TWO, Columnar([[1, 2]]), "inputs: expected an object with a, b, got a list of 1"),
        (TWO, Columnar({"a": [[1, 2]]}), "inputs.b: expected a value, got nothing"),
        (TWO, Columnar({"a": [], "b": [], "c": []}), "inputs.c: expected one of a, b, got an unknown input"),
        (TWO, Columnar({"a": [[1, 2]], "b": [1, 2]}), "inputs.b: expected 1 rows as in inputs.a, got 2 rows"),
        (TWO, Instances([]), "instances: expected a non-empty list of rows, got a list of 0"),
        (
            TWO,
            Instances([{"a": [1, 2], "b": 1}, [1]]),
            "instances[1]: expected an object with a, b, got a list of 1",
        ),
        (
            TWO,
            Instances([{"a": [1, 2], "b": 1}, {"a": [1, 2]}]),
            "instances[1].b: expected a value, got nothing",
        ),
        (
            TWO,
            Instances([{"a": [1, "2"], "b": 1}]),
            "instances[0].a[1]: expected a number (float32), got '2'",
        ),
        (one(), Instances([[1, 2], [1, "x"]]), "instances[1][1]: expected a number (float32), got 'x'"),
        (
            one(),
            Instances([[1, 2], {"x": [1, 2]}]),
            "instances[0]: expected an object with x, got a list of 2",
        ),
        (one(), Arrays({"": np.zeros((1, 2))}), "inputs: expected an array of float32, got float64"),
        (one(), Arrays({"x": np.zeros((1, 3), "f4")}), "inputs.x: expected shape [-1, 2], got shape [1, 3]"),
        (one(), Arrays({"x": np.zeros(2, "f4")}), "inputs.x: expected shape [-1, 2], got shape [2]"),
        (one(), Arrays({"x": np.zeros((0, 2), "f4")}), "inputs.x: expected at least one row, got none"),
        (one(), Arrays({"z": np.zeros((1, 2), "f4")}), "inputs.z: expected one of x, got an unknown input"),
        (
            one(),
            Arrays({"x": np.zeros((1, 2), "M8[s]")}),
            "inputs.x: expected an array of float32, got no tensor",
        ),
        (
            TEXTS,
            Arrays({"x": np.array([{}], object)}),
            "inputs.x: expected an array of string, got a string tensor",
        ),
        (
            TWO,
            Arrays({"": np.zeros((1, 2), "f4")}),
            "inputs: expected one for each of a, b, got one without a",
        ),
        (
            one(),
            Arrays({"x": np.array([[b"1", b"2"]])}),
            "inputs.x: expected an array of float32, got texts or",
        ),
    ],
)
def test_what_does_not_fit_is_named(sig, raw, message):
    assert str(refusal(sig, raw)).startswith(message)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_that_are_not_finite_come_as_strings_or_as_floats(dtype):
    array = bound(one(dtype, (-1,)), Columnar(["NaN", "Infinity", "-Infinity", math.inf, 1])).arrays["x"]
    np.testing.assert_array_equal(array, np.array([math.nan, math.inf, -math.inf, math.inf, 1], dtype))


def test_a_model_may_refuse_what_is_not_finite():
    error = refusal(one(), Instances([[1, 2], [3, "NaN"]]), inputs_finite=True)
    assert str(error) == "instances[1][1]: expected a finite number, got nan"
    assert (
        refusal(one(), Arrays({"": np.array([[1, math.inf]], "f4")}), inputs_finite=True).field
        == "inputs[0][1]"
    )
    bound(one("int32"), Columnar([[1, 2]]), inputs_finite=True)


def test_strings_are_text_or_base64():
    raw = Columnar(["käse", {"b64": "//4="}, ""])
    assert bound(TEXTS, raw).arrays["x"].tolist() == ["käse".encode(), b"\xff\xfe", b""]
    assert bound(TEXTS, Instances([{"b64": "AA=="}])).arrays["x"].tolist() == [b"\0"]
    assert bound(TEXTS, Arrays({"": np.array(["ä"])})).arrays["x"].tolist() == ["ä".encode()]


def test_an_input_may_be_named_b64():
    named = signature(TensorSpec("b64", "string", (-1,)))
    assert bound(named, Columnar({"b64": ["a"]})).arrays["b64"].tolist() == [b"a"]


def test_a_signature_without_batch_dimension_takes_inputs_as_it_says():
    scalar = signature(TensorSpec("x", "float32", ()), TensorSpec("m", "int32", (2, 2)))
    result = bound(scalar, Columnar({"x": 1.5, "m": [[1, 2], [3, 4]]}))
    assert result.rows == 1
    assert result.arrays["x"].shape == ()
    assert str(refusal(scalar, Columnar({"x": [1.5], "m": [[1, 2], [3, 4]]}))).startswith(
        "inputs.x: expected a number"
    )


def test_an_unknown_rank_takes_any_shape():
    values: list[Any] = [1.5, [1.5, 2], [[[1]]], [[]]]
    for value in values:
        assert bound(one(shape=None), Columnar(value)).arrays["x"].tolist() == value


def test_empty_lists_inside_take_the_shape_of_the_signature():
    assert bound(one(shape=(-1, -1, 3)), Columnar([[], []])).arrays["x"].shape == (2, 0, 3)


@pytest.mark.parametrize(
    ("sig", "raw"),
    [
        (one(), Columnar([[1, 2]] * 13)),
        (one(), Arrays({"": np.zeros((13, 2), "f4")})),
        (TEXTS, Columnar(["x" * 50, "y" * 51])),
        (TEXTS, Arrays({"": np.array([b"x" * 101])})),
        (TWO, Columnar({"a": [[1, 2]] * 9, "b": [1] * 9})),
    ],
)
def test_the_size_of_all_inputs_is_bounded(sig, raw):
    with pytest.raises(PayloadTooLarge):
        bind(sig, raw, max_bytes=100)


def test_deep_nesting_is_refused_without_recursion():
    value: Any = 1
    for _ in range(5000):
        value = [value]
    assert "a number" in refusal(one(shape=None), Columnar(value)).expected
    assert "a list of 2" in refusal(one(), Columnar(value)).expected


def test_arrays_of_any_layout_are_bound_in_canonical_form():
    array = np.arange(4, dtype=">f4").reshape(2, 2).T
    result = bound(one(), Arrays({"": array})).arrays["x"]
    assert result.tolist() == [[0, 2], [1, 3]]
    pack({"x": result})


@given(
    st.sampled_from(["float32", "float64", "int8", "uint8", "int64", "uint64", "bool"]).flatmap(
        lambda name: hnp.arrays(np.dtype(name), hnp.array_shapes(max_side=3))
    )
)
def test_arrays_written_as_json_are_bound_as_themselves(array):
    value = orjson.loads(dumps(to_json(array)))
    sig = signature(TensorSpec("x", str(array.dtype), (-1, *array.shape[1:])))
    back = bound(sig, Columnar(value)).arrays["x"]
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype


def test_outputs_are_asked_for_by_name_and_once():
    sig = Signature("s", (), (Y, TensorSpec("z", "float32", (-1,))))
    assert check_outputs(sig, ["z"]) == ("z",)
    assert check_outputs(sig, []) == ()
    for names, field in ((["y", "q"], "outputs[1]"), (["y", "y"], "outputs[1]"), ([3], "outputs[0]")):
        with pytest.raises(InvalidRequest) as refused:
            check_outputs(sig, names)  # type: ignore[arg-type]
        assert refused.value.field == field


def test_split_keeps_to_rows_and_bytes_and_order():
    arrays = {"x": np.arange(10, dtype=np.float32).reshape(5, 2), "s": np.array([b"aaaa"] * 5, object)}
    sig = signature(TensorSpec("x", "float32", (-1, 2)), TensorSpec("s", "string", (-1,)))
    for max_rows, max_bytes, sizes in (
        (2, 10**6, [2, 2, 1]),
        (64, 36, [3, 2]),
        (64, 1, [1] * 5),
        (5, 10**6, [5]),
    ):
        parts = split(sig, arrays, max_rows, max_bytes)
        assert [stop - start for start, stop, _ in parts] == sizes
        assert [part["x"].shape[0] for *_, part in parts] == sizes
        assert np.concatenate([part["x"] for *_, part in parts]).tolist() == arrays["x"].tolist()


def test_split_counts_the_largest_string():
    texts = np.array([b"a" * 10, b"b"], object)
    assert len(split(TEXTS, {"s": texts}, 64, 19)) == 2
