"""The store's format of tensors: what a job's inputs and outputs are between web and worker.

::

    b"PWT1" | uint32 header length | header, JSON padded with spaces | bytes of each tensor in turn
    header = [{"n": name, "d": dtype, "s": shape, "l": length in bytes}, ...]

All little-endian, tensors row-major. A string tensor holds, for each element, a uint32
length and the bytes (as BYTES in the Open Inference Protocol's binary extension).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
import orjson

from ..core.errors import CorruptPayload, InvalidRequest
from .dtypes import DTYPES, STRING, Array, dtype_name

MAGIC = b"PWT1"
MAX_HEADER = 64 * 1024
MAX_RANK = 32
_LENGTH = struct.Struct("<I")
_START = len(MAGIC) + _LENGTH.size
_ALIGNMENT = 16  # of the first tensor, as CPython aligns a bytes object: NumPy then reads it in place
_CACHED_HEADERS = 512  # each at most MAX_HEADER; real ones hold some hundred bytes


class _Piece(NamedTuple):
    """One tensor of a header; ``dtype`` None is a string tensor."""

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...]
    length: int


def pack(arrays: Mapping[str, Array]) -> bytes:
    """Tensors to bytes.

    Raises TypeError for a dtype of which :data:`DTYPES` knows nothing, InvalidRequest when
    names and shapes alone exceed the header's bound.
    """
    blobs: list[Any] = []
    key: list[tuple[str, str, tuple[int, ...], int]] = []
    for name, array in arrays.items():
        dtype = dtype_name(array)
        blob = string_bytes(array) if dtype == STRING else array
        if dtype != STRING and not array.flags.c_contiguous:
            blob = array.tobytes()
        blobs.append(blob)
        key.append((name, dtype, array.shape, len(blob) if type(blob) is bytes else array.nbytes))
    return b"".join([_header(tuple(key)), *blobs])


@lru_cache(_CACHED_HEADERS)
def _header(key: tuple[tuple[str, str, tuple[int, ...], int], ...]) -> bytes:
    text = orjson.dumps([{"n": n, "d": d, "s": s, "l": length} for n, d, s, length in key])
    text += b" " * (-(_START + len(text)) % _ALIGNMENT)
    if len(text) > MAX_HEADER:
        raise InvalidRequest("inputs", f"names and shapes of {MAX_HEADER} bytes at most", f"{len(text)}")
    return MAGIC + _LENGTH.pack(len(text)) + text


def string_bytes(array: Array) -> bytes:
    """Each element with its length before it, in row-major order. Raises TypeError for what is no string."""
    parts: list[bytes] = []
    for element in array.reshape(-1).tolist():
        if type(element) is not bytes:
            raise TypeError(f"a string tensor holds bytes, not {type(element).__name__}")
        parts += (_LENGTH.pack(len(element)), element)
    return b"".join(parts)


def unpack(payload: bytes) -> dict[str, Array]:
    """Bytes to tensors; numeric ones are read-only views of ``payload``.

    Raises CorruptPayload on anything that :func:`pack` does not write.
    """
    if payload[:4] != MAGIC or len(payload) < _START:
        raise CorruptPayload(f"a payload starts with {MAGIC!r}")
    offset = _START + _LENGTH.unpack_from(payload, 4)[0]
    if offset > min(len(payload), _START + MAX_HEADER):
        raise CorruptPayload("the header is longer than the payload, or than its bound")
    pieces, total = _parse(payload[_START:offset])
    if total != len(payload) - offset:
        raise CorruptPayload(f"{len(payload) - offset} bytes of tensors where the header says {total}")
    arrays: dict[str, Array] = {}
    for name, dtype, shape, length in pieces:
        if dtype is None:
            arrays[name] = read_strings(payload[offset : offset + length], shape)
        else:
            arrays[name] = np.ndarray(shape, dtype, payload, offset)
        offset += length
    return arrays


@lru_cache(_CACHED_HEADERS)
def _parse(header: bytes) -> tuple[tuple[_Piece, ...], int]:
    """The tensors of a header and their length in all."""
    try:
        pieces = tuple([_piece(raw) for raw in orjson.loads(header)])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptPayload(f"unreadable header: {error}") from None
    if len({piece.name for piece in pieces}) != len(pieces):
        raise CorruptPayload("two tensors of one name")
    return pieces, sum(piece.length for piece in pieces)


def _piece(raw: Mapping[str, Any]) -> _Piece:
    name, dtype_given, shape, length = raw["n"], raw["d"], raw["s"], raw["l"]
    dtype = None if dtype_given == STRING else DTYPES[dtype_given]
    if type(name) is not str or type(shape) is not list or len(shape) > MAX_RANK:
        raise ValueError(f"tensor {name!r} of shape {shape!r}")
    if any(type(size) is not int or size < 0 for size in (*shape, length)):
        raise ValueError(f"tensor {name!r} of shape {shape!r} and {length!r} bytes")
    # Counting zeros as ones too keeps an empty shape such as (0, 10**18) within what NumPy can hold.
    if prod(shape) > length or prod(size or 1 for size in shape) > 2**40:
        raise ValueError(f"tensor {name!r}: shape {shape!r} does not fit {length} bytes")
    if dtype is not None and prod(shape) * dtype.itemsize != length:
        raise ValueError(f"tensor {name!r}: {length} bytes for shape {shape!r} of {dtype}")
    return _Piece(name, dtype, tuple(shape), length)


def read_strings(data: bytes, shape: tuple[int, ...]) -> Array:
    """What :func:`string_bytes` writes. Raises CorruptPayload."""
    elements: list[bytes] = []
    offset = 0
    while offset < len(data):
        start = offset + _LENGTH.size
        if start > len(data):
            raise CorruptPayload("a string tensor ends within a length")
        offset = start + _LENGTH.unpack_from(data, offset)[0]
        if offset > len(data):
            raise CorruptPayload("a string tensor ends within an element")
        elements.append(data[start:offset])
    if len(elements) != prod(shape):
        raise CorruptPayload(f"{len(elements)} strings for shape {shape}")
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)


def join_ranges(payloads: Sequence[bytes]) -> dict[str, Array]:
    """The tensors of a job from its row ranges in order, joined along the first dimension.

    Raises CorruptPayload when the ranges do not fit each other.
    """
    parts = [unpack(payload) for payload in payloads]
    if len(parts) == 1:
        return parts[0]
    try:
        return {name: _joined([part[name] for part in parts]) for name in parts[0]}
    except (KeyError, ValueError, IndexError) as error:
        raise CorruptPayload(f"row ranges do not fit each other: {error}") from None


def _joined(arrays: list[Array]) -> Array:
    if len({array.dtype for array in arrays}) != 1:
        raise ValueError(f"dtypes {sorted({str(array.dtype) for array in arrays})}")
    return np.concatenate(arrays)
