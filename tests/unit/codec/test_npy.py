"""``.npy`` and ``.npz``: no pickle, no bombs, errors that name the field."""

import contextlib
import io
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from predict_worker.codec import DTYPES, read_npy, read_npz, write_npy
from predict_worker.core.errors import InvalidRequest, PayloadTooLarge


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npz(**arrays):
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


@given(
    st.sampled_from(list(DTYPES.values())).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))
    )
)
def test_what_is_written_reads_back(array):
    back = read_npy(write_npy(array), "inputs")
    np.testing.assert_array_equal(back, array)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(np.load(io.BytesIO(write_npy(array)), allow_pickle=False), array)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">i2"])
def test_any_byte_and_memory_order_is_read(order, dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype, order=order)
    back = read_npy(npy(array), "inputs")
    assert back.tolist() == array.tolist()
    assert back.flags.c_contiguous
    assert back.dtype == array.dtype.newbyteorder("<")


def test_texts_become_bytes():
    assert read_npy(npy(np.array(["ä", "b"])), "inputs").tolist() == ["ä".encode(), b"b"]
    assert read_npy(npy(np.array([b"a", b"bc"])), "inputs").tolist() == [b"a", b"bc"]
    assert np.load(io.BytesIO(write_npy(np.array([[b"a"], [b"bc"]], object)))).tolist() == [[b"a"], [b"bc"]]


def test_a_text_that_npy_would_truncate_is_not_written():
    with pytest.raises(InvalidRequest, match="Accept"):
        write_npy(np.array([b"a\0"], object))


def with_header(text, data=b""):
    header = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def described(descr="'<f4'", shape="(1,)"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        b"not an array",
        npy(np.ones(3))[:-1],
        npy(np.ones(3)) + b"x",
        npy(np.array([{}], object), allow_pickle=True),
        npy(np.zeros(1, "M8[s]")),
        npy(np.zeros(1, [("a", "f4")])),
        with_header(described(), bytes(3)),
        with_header(described(shape="(-1,)"), bytes(4)),
        with_header(described(shape="(10**9,)")),
        with_header(described(shape="(1000000000000,)")),
        with_header(described("'|S0'", "(1000000000000,)")),
        with_header(described(shape="(0, 1000000000000000000000)")),
        with_header(described(shape="(" + "1," * 33 + ")"), bytes(4)),
        with_header("(" * 3000),
        with_header("{'descr': '<f4'}"),
        with_header("__import__('os')"),
    ],
)
def test_a_broken_file_is_refused_by_the_name_of_its_field(data):
    with pytest.raises(InvalidRequest) as refused:
        read_npy(data, "inputs.x")
    assert refused.value.field == "inputs.x"


GOOD_NPZ = npz(x=np.ones((2, 3), np.float32), label=np.array(["one"]))


def test_an_npz_gives_arrays_by_name():
    arrays = read_npz(GOOD_NPZ, 10_000)
    assert arrays["x"].tolist() == [[1, 1, 1]] * 2
    assert arrays["label"].tolist() == [b"one"]


def test_the_inflated_size_of_an_npz_is_bounded_in_all():
    bomb = npz(a=np.zeros(10**6), b=np.zeros(10**6))
    assert len(bomb) < 20_000
    with pytest.raises(PayloadTooLarge):
        read_npz(bomb, 10**6)
    with pytest.raises(PayloadTooLarge):
        read_npz(bomb, 12 * 10**6)
    assert len(read_npz(bomb, 17 * 10**6)) == 2


def test_a_member_that_lies_about_its_size_is_refused():
    honest = npz(a=np.zeros(1000))
    size = (8000 + 128).to_bytes(4, "little")
    assert size in honest
    with pytest.raises(InvalidRequest):
        read_npz(honest.replace(size, (100).to_bytes(4, "little")), 500)


ONE = npy(np.ones(1))


def zipped(names, content=ONE, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(stream, "w", compression) as archive:
        for name in names:
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"PK",
        npy(np.ones(1)),
        GOOD_NPZ[:-30],
        zipped(["x.txt"]),
        zipped(["x.npy", "x.npy"]),
        zipped(["x.npy"], compression=zipfile.ZIP_LZMA),
        zipped(["x.npy"], b"text"),
        zipped([f"{n}.npy" for n in range(300)]),
    ],
)
def test_a_broken_archive_is_refused(data):
    with pytest.raises(InvalidRequest):
        read_npz(data, 10**6)


@given(st.integers(0, len(GOOD_NPZ) - 1), st.integers(1, 255))
def test_a_flipped_byte_reads_or_is_refused_but_nothing_else(position, change):
    broken = bytearray(GOOD_NPZ)
    broken[position] ^= change
    with contextlib.suppress(InvalidRequest):
        read_npz(bytes(broken), 10**6)
