"""A tensor as bytes: what travels through the store. No NumPy on this floor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

# Size of one element in bytes, by TensorFlow's own lower-case dtype name. Strings vary.
ITEM_SIZE: Mapping[str, int] = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "float16": 2,
    "bfloat16": 2,
    "int32": 4,
    "uint32": 4,
    "float32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}
STRING = "string"


@dataclass(frozen=True, slots=True)
class Tensor:
    """Row-major, little-endian bytes with their dtype and shape.

    A string tensor holds, for each element, a uint32 little-endian length and the bytes
    (the BYTES encoding of the Open Inference Protocol's binary extension).
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes | memoryview

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)


Tensors = Mapping[str, Tensor]
"""Tensors by input or output name."""
