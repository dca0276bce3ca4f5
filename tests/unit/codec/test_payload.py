"""The store's payload format: what goes in comes out, and anything else is refused."""

import contextlib
import struct

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from predict_worker.codec import DTYPES, STRING, join_ranges, pack, unpack
from predict_worker.core.errors import CorruptPayload, InvalidRequest

numeric = st.sampled_from(list(DTYPES.values())).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
)
texts = hnp.arrays(object, hnp.array_shapes(min_dims=0, min_side=0), elements=st.binary(max_size=20))


@given(st.dictionaries(st.text(max_size=5), numeric | texts, max_size=4))
def test_arrays_come_back_as_they_went_in(arrays):
    back = unpack(pack(arrays))
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)


def test_a_slice_that_is_not_contiguous_is_packed_row_major():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(unpack(pack({"x": array[:, ::2].T}))["x"], array[:, ::2].T)


def test_numeric_tensors_are_views_of_the_payload():
    payload = pack({"x": np.zeros((1, 8, 8, 1), np.float32)})
    array = unpack(payload)["x"]
    assert np.shares_memory(array, np.frombuffer(payload, np.uint8))
    assert array.flags.aligned
    assert not array.flags.writeable


@pytest.mark.parametrize(
    "array", [np.array(["text"]), np.array(["text"], object), np.zeros(2, ">f4"), np.zeros(1, "M8[s]")]
)
def test_arrays_in_no_canonical_form_are_a_mistake_of_the_program(array):
    with pytest.raises(TypeError):
        pack({"x": array})


def test_names_beyond_the_header_bound_are_refused():
    with pytest.raises(InvalidRequest, match="names and shapes"):
        pack({"x" * 70_000: np.zeros(1, np.float32)})


def payload_of(header, data=b""):
    text = header if isinstance(header, bytes) else orjson.dumps(header)
    return b"PWT1" + struct.pack("<I", len(text)) + text + data


def tensor(**changes):
    return {"n": "x", "d": "float32", "s": [1], "l": 4, **changes}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"PWT1",
        b"PWT1\xff\xff\xff\xff",
        b"XXXX" + payload_of([tensor()], bytes(4))[4:],
        payload_of(b"[", bytes(4)),
        payload_of({"n": 1}, bytes(4)),
        payload_of([1], bytes(4)),
        payload_of([tensor()], bytes(3)),
        payload_of([tensor()], bytes(5)),
        payload_of([tensor(l=8)], bytes(8)),
        payload_of([tensor(d="float31")], bytes(4)),
        payload_of([tensor(d=["float32"])], bytes(4)),
        payload_of([tensor(n=1)], bytes(4)),
        payload_of([tensor(s=1)], bytes(4)),
        payload_of([tensor(s=[True])], bytes(4)),
        payload_of([tensor(s=[-1, -1])], bytes(4)),
        payload_of([tensor(s=[1.0])], bytes(4)),
        payload_of([tensor(s=[1] * 33)], bytes(4)),
        payload_of([tensor(s=[0, 2**62, 2**62], l=0)]),
        payload_of([tensor(s=[2**40], l=2**42)], bytes(4)),
        payload_of([tensor(), tensor()], bytes(8)),
        payload_of([{"n": "x"}], bytes(4)),
        payload_of(b" " * 70_000 + orjson.dumps([tensor()]), bytes(4)),
        payload_of([tensor(d=STRING, s=[2], l=5)], struct.pack("<I", 1) + b"a"),
        payload_of([tensor(d=STRING, s=[1], l=5)], struct.pack("<I", 2) + b"a"),
        payload_of([tensor(d=STRING, s=[1], l=7)], struct.pack("<I", 1) + b"abc"),
        payload_of([tensor(d=STRING, s=[2**40], l=5)], struct.pack("<I", 1) + b"a"),
    ],
)
def test_a_malformed_payload_is_corrupt(payload):
    with pytest.raises(CorruptPayload):
        unpack(payload)


GOOD = pack({"x": np.ones((2, 3), np.float32), "s": np.array([b"one", b""], object)})


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
@example(4, 200)
def test_a_flipped_byte_decodes_or_is_corrupt_but_nothing_else(position, change):
    broken = bytearray(GOOD)
    broken[position] ^= change
    with contextlib.suppress(CorruptPayload):
        unpack(bytes(broken))


@given(st.integers(0, len(GOOD) - 1))
def test_a_truncated_payload_is_corrupt(length):
    with pytest.raises(CorruptPayload):
        unpack(GOOD[:length])


def test_row_ranges_join_in_order():
    parts = [{"y": np.full((n, 2), n, np.int64), "s": np.array([b"%d" % n] * n, object)} for n in (2, 1)]
    joined = join_ranges([pack(part) for part in parts])
    np.testing.assert_array_equal(joined["y"], [[2, 2], [2, 2], [1, 1]])
    assert joined["s"].tolist() == [b"2", b"2", b"1"]


def test_a_single_range_needs_no_batch_dimension():
    assert join_ranges([pack({"y": np.array(3.0)})])["y"] == 3.0


@pytest.mark.parametrize(
    "other",
    [
        {"z": np.zeros((1, 2), np.float32)},
        {"y": np.zeros((1, 3), np.float32)},
        {"y": np.zeros((1, 2), np.float64)},
        {"y": np.zeros((), np.float32)},
    ],
)
def test_ranges_that_do_not_fit_each_other_are_corrupt(other):
    with pytest.raises(CorruptPayload):
        join_ranges([pack({"y": np.zeros((1, 2), np.float32)}), pack(other)])
