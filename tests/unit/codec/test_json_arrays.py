"""Arrays as JSON."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from predict_worker.codec import DTYPES, dumps, to_json


def text(array):
    return dumps(to_json(array)).decode()


def test_float32_is_written_with_its_own_shortest_digits():
    assert text(np.array([0.1, 1 / 3], np.float32)) == "[0.1,0.33333334]"
    assert text(np.array([0.1, np.nan], np.float32)) == '[0.1,"NaN"]'
    assert text(np.array(0.1, np.float32)) == "0.1"


def test_floats_that_are_not_finite_become_strings():
    array = np.array([[np.nan, np.inf], [-np.inf, 1.5]])
    assert text(array) == '[["NaN","Infinity"],["-Infinity",1.5]]'
    assert text(np.array(np.nan)) == '"NaN"'


def test_strings_are_text_or_base64_where_not_utf8():
    array = np.array([["käse".encode()], [b"\xff\xfe"]], object)
    assert json.loads(text(array)) == [["käse"], [{"b64": "//4="}]]
    assert text(np.array(b"one", object)) == '"one"'


def test_a_complex_number_is_its_two_parts():
    assert text(np.array([1 + 2j], np.complex64)) == "[[1.0,2.0]]"


@pytest.mark.parametrize("array", [np.zeros((2, 3))[:, ::2], np.zeros((2, 2), ">f8"), np.zeros((2, 0, 2))])
def test_any_memory_layout_is_written(array):
    assert json.loads(text(array)) == array.tolist()


@given(
    st.sampled_from([d for n, d in DTYPES.items() if "complex" not in n]).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_side=3))
    )
)
def test_every_value_reads_back_as_itself(array):
    back = np.array(json.loads(text(array)), dtype=object)
    np.testing.assert_array_equal(back.astype(array.dtype).reshape(array.shape), array)
