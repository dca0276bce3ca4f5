"""Inputs that nobody has checked yet travel as they came."""

import math

import numpy as np
import pytest

from predict_worker.codec import Arrays, Columnar, Instances, pack_raw, unpack_raw
from predict_worker.core.errors import CorruptPayload, InvalidRequest


@pytest.mark.parametrize(
    "raw",
    [
        Columnar([[1, 2.5, "NaN", 2**70, None, True]]),
        Columnar({"x": [[1]], "näme": [{"b64": "AA=="}]}),
        Columnar(3),
        Instances([[1], {"x": 2}]),
        Columnar([math.inf, -math.inf]),
    ],
)
def test_json_inputs_come_back_as_they_went_in(raw):
    assert unpack_raw(pack_raw(raw)) == raw


def test_a_bare_nan_stays_a_nan():
    back = unpack_raw(pack_raw(Columnar([math.nan])))
    assert isinstance(back, Columnar)
    assert math.isnan(back.value[0])


def test_arrays_travel_in_the_checked_format():
    back = unpack_raw(pack_raw(Arrays({"": np.ones(3)})))
    assert isinstance(back, Arrays)
    assert back.arrays[""].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "payload", [b"PWJ1", b"PWJ1{", b"PWJ1[]", b'PWJ1{"instances": 1}', b"PWJ1\xff", b"PWJ1" + b"[" * 10**5]
)
def test_anything_else_is_corrupt(payload):
    with pytest.raises(CorruptPayload):
        unpack_raw(payload)


def test_endless_nesting_is_the_callers_mistake():
    value: list = []
    for _ in range(10**5):
        value = [value]
    with pytest.raises(InvalidRequest, match="inputs"):
        pack_raw(Columnar(value))


def test_arrays_of_any_layout_are_made_canonical():
    back = unpack_raw(pack_raw(Arrays({"": np.array([1, 2], ">f4"), "s": np.array(["a"])})))
    assert isinstance(back, Arrays)
    assert [array.tolist() for array in back.arrays.values()] == [[1, 2], [b"a"]]


def test_arrays_that_are_no_tensors_are_the_callers_mistake():
    for array in (np.zeros(1, "M8[s]"), np.array([{}], object)):
        with pytest.raises(InvalidRequest, match="inputs"):
            pack_raw(Arrays({"": array}))
