"""``.npy`` and ``.npz`` without pickle, bounded by size.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import io
import zipfile
from math import prod
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from ..core.errors import InvalidRequest, PayloadTooLarge
from .dtypes import STRING, Array, canonical, dtype_name
from .payload import MAX_RANK

MAX_MEMBERS = 256


def read_npy(data: bytes, field: str) -> Array:
    """One array, in the canonical form of its dtype; texts become ``bytes``.

    Raises InvalidRequest naming ``field`` for a broken file, an object array (pickle) or a
    dtype that no tensor has.
    """
    shape, column_major, dtype, offset = _npy_header(data, field)
    length = prod(shape) * dtype.itemsize
    if len(data) - offset != length:
        raise InvalidRequest(field, f"{length} bytes of {dtype} data", f"{len(data) - offset} bytes")
    try:
        return canonical(np.ndarray(shape, dtype, data, offset, order="F" if column_major else "C"))
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRequest(field, "a .npy file of numbers or texts", str(error)) from None


def _npy_header(data: bytes, field: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether column-major, dtype and the offset of the data."""
    stream = io.BytesIO(data)
    try:
        version = npy_format.read_magic(stream)
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version}")
        shape, column_major, dtype = read(stream)
    except Exception as error:  # of NumPy's parser, Python's tokenizer, ...
        raise InvalidRequest(field, "a .npy file", str(error)) from None
    if dtype.hasobject or not dtype.itemsize:
        raise InvalidRequest(field, "numbers or texts, never objects (pickle)", f"dtype {dtype}")
    if len(shape) > MAX_RANK:
        raise InvalidRequest(field, f"at most {MAX_RANK} dimensions", f"{len(shape)}")
    if any(size.bit_length() > 63 for size in shape):  # Python would not even print some of them
        raise InvalidRequest(field, "dimensions of 63 bits at most", "longer ones")
    return shape, column_major, dtype, stream.tell()


def read_npz(data: bytes, max_bytes: int, field: str = "inputs") -> dict[str, Array]:
    """Arrays by name; ``max_bytes`` bounds what the members inflate to, in all.

    Raises InvalidRequest naming the member's field (``inputs.x``), PayloadTooLarge.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _members(archive, max_bytes, field)
    except InvalidRequest:
        raise
    except Exception as error:  # zipfile lets through whatever its parsing runs into
        raise InvalidRequest(field, "a readable .npz file", str(error)) from None


def _members(archive: zipfile.ZipFile, max_bytes: int, field: str) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise InvalidRequest(field, f"at most {MAX_MEMBERS} arrays", str(len(members)))
    for member in members:
        name = member.filename.removesuffix(".npy")
        place = f"{field}.{name[:100]}"
        if name in arrays or name == member.filename:
            raise InvalidRequest(place, "a .npy file of its own name", repr(member.filename[:100]))
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InvalidRequest(place, "an array stored or deflated", f"compression {member.compress_type}")
        with archive.open(member) as stream:
            content = stream.read(max_bytes + 1)  # the size that the archive declares may be a lie
        if len(content) > max_bytes:
            raise PayloadTooLarge(field, "fewer bytes once inflated", "more than the bound")
        max_bytes -= len(content)
        arrays[name] = read_npy(content, place)
    return arrays


def write_npy(array: Array) -> bytes:
    """The array as a ``.npy`` file, texts as fixed-length bytes (NumPy's kind S).

    Raises InvalidRequest for texts that end with a zero byte: that form would lose it.
    """
    if dtype_name(array) == STRING:
        if any(element.endswith(b"\0") for element in array.flat):
            raise InvalidRequest(
                "Accept", "application/json (a text ends with a zero byte)", "application/x-npy"
            )
        array = np.array(array.tolist(), "S").reshape(array.shape)
    stream = io.BytesIO()
    npy_format.write_array(stream, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
    return stream.getvalue()
