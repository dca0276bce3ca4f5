"""The protocol's names of what tensors hold."""

from __future__ import annotations

from collections.abc import Mapping

from predict_worker.codec import STRING

from .errors import NotOffered

DTYPES: Mapping[str, str] = {
    "BOOL": "bool",
    **{f"UINT{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": STRING,
}
"""Ours by the protocol's."""

BFLOAT16 = "BF16"
"""Comes in alone: it is the upper half of a float32, and as such a model has it."""

BINARY_ONLY = frozenset({"FP16", BFLOAT16})
"""The protocol has no JSON for them."""

_NAMES = {dtype: datatype for datatype, dtype in DTYPES.items()}


def datatype(dtype: str) -> str:
    """The protocol's name of one of our dtypes. Raises NotOffered for complex numbers."""
    try:
        return _NAMES[dtype]
    except KeyError:
        raise NotOffered(f"the protocol has no datatype for {dtype}") from None
