"""The binary tensor extension: a body is JSON, then the bytes of tensors in the order of the inputs.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import re
from math import prod

import numpy as np

from predict_worker.codec import DTYPES, STRING, read_strings
from predict_worker.codec.dtypes import Array
from predict_worker.core.errors import CorruptPayload, InvalidRequest
from predict_worker.core.spec import DYNAMIC, Signature

from . import datatypes

HEADER_LENGTH = "Inference-Header-Content-Length"
_LENGTH = re.compile(r"[0-9]{1,12}\Z")

Shape = tuple[int, ...]


class Tail:
    """What follows a body's JSON. Numeric tensors are views of the body: nothing is copied."""

    def __init__(self, body: bytes, at: int) -> None:
        self._body, self._at = body, at

    @property
    def left(self) -> int:
        """Bytes that nobody has read."""
        return len(self._body) - self._at

    def read(self, field: str, datatype: str, shape: Shape, size: int) -> Array:
        """The next tensor, of ``size`` bytes. Raises InvalidRequest."""
        if size > self.left:
            expected = f"at most {self.left} bytes, as many as follow"
            raise InvalidRequest(f"{field}.parameters.binary_data_size", expected, str(size))
        start, self._at = self._at, self._at + size
        if datatype == "BYTES":
            return _strings(field, self._body[start : self._at], shape)
        dtype = np.dtype("<u2") if datatype == datatypes.BFLOAT16 else DTYPES[datatypes.DTYPES[datatype]]
        if (needed := prod(shape) * dtype.itemsize) != size:
            expected = f"{needed} bytes for shape {list(shape)} of {datatype}"
            raise InvalidRequest(f"{field}.parameters.binary_data_size", expected, str(size))
        array: Array = np.ndarray(shape, dtype, self._body, start)
        if datatype == "BOOL" and (array.view(np.uint8) > 1).any():
            raise InvalidRequest(field, "bytes of 0 or 1 (BOOL)", "others")
        return _widened(array) if datatype == datatypes.BFLOAT16 else array

    def close(self) -> None:
        """After the last tensor. Raises InvalidRequest where bytes are left."""
        if self.left:
            raise InvalidRequest("body", "no byte after those of the inputs", f"{self.left} more")


def divided(body: bytes, header_length: str | None) -> tuple[bytes, Tail | None]:
    """The JSON and what follows it; ``header_length`` is the header's text. Raises InvalidRequest."""
    if header_length is None:
        return body, None
    if not _LENGTH.match(header_length) or int(header_length) > len(body):
        raise InvalidRequest(HEADER_LENGTH, f"0 to {len(body)}, as long as the body", repr(header_length))
    at = int(header_length)
    return body[:at], Tail(body, at)


def only_input(tail: Tail, signature: Signature) -> tuple[str, Array]:
    """A body without JSON is the one input, of one row; its size says what one open dimension is.

    Raises InvalidRequest where that does not say enough.
    """
    spec = signature.inputs[0]
    if len(signature.inputs) != 1 or spec.shape is None:
        raise InvalidRequest(HEADER_LENGTH, "the length of a JSON that names the inputs", "0")
    shape = (1, *spec.shape[1:]) if spec.batched else spec.shape
    if spec.dtype == STRING:
        raise InvalidRequest(HEADER_LENGTH, "the length of a JSON that says the input's shape", "0")
    datatype = datatypes.datatype(spec.dtype)
    shape = _closed(shape, tail.left // DTYPES[spec.dtype].itemsize)
    return spec.name, tail.read(f"inputs.{spec.name}", datatype, shape, tail.left)


def _closed(shape: Shape, elements: int) -> Shape:
    if shape.count(DYNAMIC) > 1:
        raise InvalidRequest(HEADER_LENGTH, "the length of a JSON that says the input's shape", "0")
    known = max(1, prod(size for size in shape if size != DYNAMIC))
    return tuple(elements // known if size == DYNAMIC else size for size in shape)


def _strings(field: str, data: bytes, shape: Shape) -> Array:
    try:
        return read_strings(data, shape)
    except CorruptPayload as error:
        expected = f"{prod(shape)} elements, each after its length (BYTES)"
        raise InvalidRequest(field, expected, str(error)) from None


def _widened(halves: Array) -> Array:
    """bfloat16 as float32, which holds every value of it."""
    wide: Array = (halves.astype("<u4") << 16).view("<f4")
    return wide
